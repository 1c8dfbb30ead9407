"""The life of script jobs beside syncs: what is checkpointed is never lost, what is over stays over, one result of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from models import Job, JobKind, JobStatus, JobStep, Snapshot
from models.database import transaction
from services import leases, scripts
from services.leases import Lease, Progress, StepChange
from services.scripts.planning import PinnedStep, Plan
from storage.snapshots.manifest import Manifest
from tests.factories import make_snapshot
from tests.workers.test_job_model import Expected, JobLife, run
from workers import publishing, receipts

STEPS = 2
EXAMPLES = 12
WHOLE = 2 * STEPS + 1
TURNS = st.sampled_from([WHOLE, 1, 2, 3, WHOLE])  # each begins a step, keeps its output or commits
TEXTS = ("def run(df):\n    return df\n", "df = df\n")
RUNNING, SUCCEEDED = JobStatus.RUNNING, JobStatus.SUCCEEDED


@dataclass
class ExpectedScript(Expected):
    """What a script job should look like. `outputs` are steps whose result is checkpointed."""

    kind: JobKind = JobKind.SCRIPT
    steps: list[JobStatus] = field(default_factory=lambda: [JobStatus.QUEUED] * STEPS)
    text: int = 0
    outputs: int = 0
    result: int | None = None
    reused: bool = False
    revision: int = 0


class ScriptLife(JobLife):
    """As jobs live, and: ask for scripts, with or without an earlier result; begin a step, keep its output, try again."""

    async def prepare(self) -> None:
        self.base = [await make_snapshot(source) for source in self.sources]

    def scripts(self) -> dict[int, ExpectedScript]:
        """Script jobs by key."""
        found = {key: job for key, job in self.jobs.items() if isinstance(job, ExpectedScript)}
        return dict(sorted(found.items()))

    def of(self, lease: Lease | None) -> ExpectedScript | None:
        """The script job of a lease."""
        job = None if lease is None else self.jobs[lease.job_id]
        return job if isinstance(job, ExpectedScript) else None

    @rule(which=st.integers(0, 1), text=st.integers(0, 1), reuse=st.booleans())
    def submit_script(self, which: int, text: int, reuse: bool) -> None:  # noqa: FBT001 - hypothesis gives it
        async def submit() -> Job:
            async with transaction():
                return await scripts.start(self.planned(which, text), None, reuse=reuse)

        job = self.do(submit())
        expected = ExpectedScript(self.sources[which].id, text=text)
        earlier = [
            each
            for each in self.scripts().values()
            if (each.source, each.text, each.status) == (expected.source, text, SUCCEEDED)
        ]
        if reuse and earlier:
            expected.status, expected.reused = SUCCEEDED, True
            expected.steps, expected.result = [SUCCEEDED] * STEPS, earlier[-1].result
            expected.rows_done = earlier[-1].rows_done
        assert (job.status, job.reused) == (expected.status, expected.reused)
        self.jobs[job.id] = expected

    def planned(self, which: int, text: int) -> Plan:
        """A job of several steps with the same text."""
        source, body = self.sources[which], TEXTS[text]
        steps = [
            PinnedStep(f"step-{n}.py", n, None, body, hashlib.sha256(body.encode()).hexdigest(), {})
            for n in range(STEPS)
        ]
        project: int = source.project_id  # type: ignore[attr-defined]
        return Plan(source.id, project, self.base[which].id, (None, "t"), tuple(steps))

    def claims(self) -> Lease | None:
        lease = super().claims()
        job = self.of(lease)
        if lease is not None and job is not None:
            kept = (lease.checkpoint or {}).get("outputs", [])
            assert len(kept) == job.outputs, (
                "the next attempt goes on behind the last finished step"
            )
        return lease

    @rule(target=JobLife.held, which=st.integers(0, 1), text=st.integers(0, 1), turns=TURNS)
    def take_and_work(self, which: int, text: int, turns: int) -> Lease | None:
        """What chance alone seldom does: a script job is begun, and gets somewhere."""
        if not any(job.status is JobStatus.QUEUED for job in self.scripts().values()):
            self.submit_script(which, text, reuse=False)
        return self.works(turns)

    @rule(target=JobLife.held, lease=JobLife.held, turns=TURNS)
    def crash_and_go_on(self, lease: Lease | None, turns: int) -> Lease | None:
        """The worker dies, and another one goes on with its job or the next."""
        self.crashes(lease)
        self.sweeps()
        return self.works(turns)

    def works(self, turns: int) -> Lease | None:
        lease = self.claims()
        for _ in range(turns):
            self.work_on(lease)
        return lease

    @rule(lease=JobLife.held)
    def work_on(self, lease: Lease | None) -> None:
        """Begin the next step, and checkpoint its output in the next turn; commit when all are through."""
        job = self.of(lease)
        if lease is None or job is None:
            return
        at = min(job.outputs, STEPS - 1)  # the last step runs until its result is stored
        if job.steps[at] is not RUNNING:
            self.begin_step(lease, job, at)
        elif job.outputs == STEPS:
            self.publish(lease, job)
        else:
            self.keep_output(lease, job)

    def begin_step(self, lease: Lease, job: ExpectedScript, at: int) -> None:
        if self.write(lease, job.outputs, at, RUNNING, is_progress=False):
            job.is_expired = False
            job.steps[at] = RUNNING

    def keep_output(self, lease: Lease, job: ExpectedScript) -> None:
        at = job.outputs
        status = RUNNING if at + 1 == STEPS else SUCCEEDED
        if self.write(lease, at + 1, at, status, is_progress=True):
            job.outputs, job.deaths, job.failures, job.is_expired = at + 1, 0, 0, False
            job.steps[at], job.rows_done = status, at + 1

    def write(
        self, lease: Lease, outputs: int, at: int, status: JobStatus, *, is_progress: bool
    ) -> bool:
        """Checkpoint so many outputs, as `workers.scripts` does; whether it was let through."""
        rows = outputs if is_progress else self.jobs[lease.job_id].rows_done
        state = {"outputs": list(range(outputs))}
        steps = [StepChange(f"step-{at}.py", at, status)]
        return self.fenced(
            lease,
            lambda held: leases.checkpoint(
                held, state, Progress(rows, 0), steps, is_progress=is_progress
            ),
        )

    def publish(self, lease: Lease, job: ExpectedScript) -> None:
        async def effects() -> None:
            base = await Snapshot.get(id=self.base[self.which(job)].id)
            manifest = Manifest(())
            receipt = receipts.of_sync([], manifest, {}, {})
            await publishing.commit_derived(lease, base, manifest, receipt, STEPS)

        if self.fenced(lease, lambda held: leases.finish(held, effects), cancel=True):
            job.end(SUCCEEDED)
            job.snapshots, job.rows_done = 1, STEPS
            job.result = self.do(Job.get(id=lease.job_id)).snapshot_id
            assert job.result is not None

    def which(self, job: ExpectedScript) -> int:
        return [source.id for source in self.sources].index(job.source)

    @rule(data=st.data())
    @precondition(lambda self: self.unlucky())
    def try_again(self, data: st.DataObject) -> None:
        """`retryJob`: a new job with the same texts; the old one stays over."""
        old = data.draw(st.sampled_from(self.unlucky()))

        async def again() -> int:
            async with transaction():
                job = await scripts.again(await Job.get(id=old), None)
                pk: int = job.id
                return pk

        was = self.scripts()[old]
        self.jobs[self.do(again())] = ExpectedScript(was.source, text=was.text)

    def unlucky(self) -> list[int]:
        over = {JobStatus.FAILED, JobStatus.CANCELLED}
        return [key for key, job in self.scripts().items() if job.status in over]

    @invariant()
    def script_jobs_and_their_steps_are_as_the_model_says(self) -> None:
        stored = {job.id: job for job in self.do(Job.filter(kind=JobKind.SCRIPT))}
        steps: dict[int, list[JobStatus]] = {}
        for step in self.do(JobStep.all().order_by("job_id", "position")):
            steps.setdefault(step.job_id, []).append(step.status)
        for key, expected in self.scripts().items():
            job = stored[key]
            assert steps[key] == expected.steps
            assert (job.snapshot_id, job.reused) == (expected.result, expected.reused)
            kept = len((job.checkpoint or {}).get("outputs", []))
            assert kept == (0 if expected.status.is_terminal else expected.outputs)
            is_over = len(expected.history) > 1 and expected.history[-2].is_terminal
            assert job.revision >= expected.revision
            assert not is_over or job.revision == expected.revision, "what is over never changes"
            expected.revision = job.revision


def test_script_jobs_live_as_the_model_says(database_url: str) -> None:
    run(ScriptLife, database_url, EXAMPLES)
