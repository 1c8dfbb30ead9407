"""`make bench`: every comparison, each as ratios in one run. One alone: `python -m tests.bench.sync`."""

from tests.bench import api, graphql, merging, start, subscriptions, sync

start.main()
graphql.main()
subscriptions.main()
merging.main()
api.main()
sync.main()
