"""`make bench`: every comparison, each as ratios in one run. One alone: `python -m tests.bench.sync`."""

from tests.bench import api, gateway, graphql, jobs, merging, start, subscriptions, sync

start.main()
graphql.main()
gateway.main()
subscriptions.main()
merging.main()
api.main()
jobs.main()
sync.main()
