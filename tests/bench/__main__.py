"""`make bench`: every comparison, each as ratios in one run. One alone: `python -m tests.bench.sync`."""

from tests.bench import api, graphql, merging, start, sync

start.main()
graphql.main()
merging.main()
api.main()
sync.main()
