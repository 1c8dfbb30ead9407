// The main job, one tab a step. Ids come from the answers of the steps before: put them into the variables pane.
'use strict';

const headwaterExamples = (() => {
  const origin = window.location.origin;
  const json = (value) => JSON.stringify(value, null, 2);
  return [
    {
      query: `# 1. A project holds your data sources.
#
# Run this with the button or Ctrl-Enter; keep the id.
# Each tab is a step. Your token is in the Headers pane.
mutation CreateProject($input: CreateProjectInput!) {
  createProject(input: $input) {
    project {
      id
      name
      createdAt
    }
  }
}
`,
      variables: json({ input: { name: 'My first project' } }),
    },
    {
      query: `# 2. Send a file. GraphiQL cannot, a shell can: copy the
# next line, and keep the objectKey that it answers.
#
# curl ${origin}/graphql -H "Authorization: Bearer $TOKEN" -F operations='{"query":"mutation($i:UploadFileInput!){uploadFile(input:$i){objectKey}}","variables":{"i":{"projectId":"project-…","file":null}}}' -F map='{"0":["variables.i.file"]}' -F 0=@orders.csv
#
# What this server takes:
query WhatThisServerTakes {
  serverInfo {
    version
    fileExtensions
    connectionKinds
    limits
  }
}
`,
    },
    {
      query: `# 3. Or test a database before you connect it. A failed
# test is an answer: see ok, message and error.
mutation TestConnection($input: TestConnectionInput!) {
  testConnection(input: $input) {
    ok
    message
    serverVersion
    latencyMs
    error {
      code
      message
      hint
    }
  }
}
`,
      variables: json({
        input: {
          projectId: 'project-…',
          connection: {
            database: {
              engine: 'POSTGRESQL',
              host: '127.0.0.1',
              port: 5432,
              database: 'shop',
              username: 'reader',
              password: '…',
            },
          },
        },
      }),
    },
    {
      query: `# 4. Connect; the first sync starts at once. For a
# database, give the connection of step 3 instead of the
# file. Secrets are encrypted and never shown again. To
# sync only what changed, choose tables: mode MERGE with a
# cursorColumn.
mutation Connect($input: ConnectDataSourcesInput!) {
  connectDataSources(input: $input) {
    dataSources {
      id
      name
      status
    }
    jobs {
      id
      status
    }
  }
}
`,
      variables: json({
        input: {
          projectId: 'project-…',
          sources: [{ name: 'orders', connection: { file: { objectKey: 'uploads/…' } } }],
        },
      }),
    },
    {
      query: `# 5. Sync again whenever you like: each sync makes a new
# snapshot, and readers never see half of one.
mutation Sync($input: SyncDataSourcesInput!) {
  syncDataSources(input: $input) {
    jobs {
      id
      status
      progress {
        fraction
        rowsDone
      }
    }
  }
}

query Watch($job: ID!) {
  job(id: $job) {
    status
    attempts
    progress {
      fraction
      rowsDone
      rowsTotal
    }
    error {
      code
      message
      hint
    }
  }
}
`,
      variables: json({ input: { dataSourceIds: ['datasource-…'] }, job: 'job-…' }),
    },
    {
      query: `# Live: a subscription tells of every change until the job
# is over. Without an end: projectJobs(projectId:).
subscription Live($job: ID!) {
  job(id: $job) {
    status
    progress {
      fraction
      rowsDone
      message
    }
    steps {
      key
      status
      rowsOut
    }
    error {
      message
      hint
    }
  }
}
`,
      variables: json({ job: 'job-…' }),
    },
    {
      query: `# 6. Read rows: filtered, sorted, page by page (give the
# endCursor as \`after\`).
query Rows(
  $source: ID!
  $where: [RowFilter!]
  $orderBy: [RowOrder!]
  $after: String
) {
  dataSource(id: $source) {
    status
    tables {
      name
      rowCount
      columns {
        name
        type
        inference
      }
    }
    table {
      rows(first: 20, after: $after, where: $where, orderBy: $orderBy) {
        columns {
          name
        }
        rows
        totalCount
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
}
`,
      variables: json({
        source: 'datasource-…',
        where: [{ column: 'id', op: 'GT', value: 100 }],
        orderBy: [{ column: 'id', direction: 'DESC' }],
        after: null,
      }),
    },
    {
      query: `# 7. Snapshots and their receipts: what was read, written
# and hashed. The books balance, or the sync fails.
query Snapshots($source: ID!) {
  dataSource(id: $source) {
    lastSyncedAt
    snapshots(first: 5) {
      totalCount
      nodes {
        id
        number
        createdAt
        rowCount
        sizeBytes
        receipt {
          rowsRead
          inserted
          updated
          deleted
          quarantined
          balanced
          files {
            table
            rows
            sizeBytes
            sha256
          }
        }
      }
    }
  }
}
`,
      variables: json({ source: 'datasource-…' }),
    },
    {
      query: `# 8. What is in it: statistics of every column, over every
# row, from the sync itself.
query Statistics($source: ID!) {
  dataSource(id: $source) {
    table {
      name
      rowCount
      profile {
        column
        count
        nulls
        distinct
        distinctIsExact
        min
        max
        mean
        median
        top {
          value
          count
        }
        histogram {
          lower
          upper
          count
        }
      }
    }
  }
}
`,
      variables: json({ source: 'datasource-…' }),
    },
    {
      query: `# 9. What changed between two snapshots of step 7.
query Changes($from: ID!, $to: ID!) {
  snapshotDiff(from: $from, to: $to) {
    counts {
      added
      removed
      changed
    }
    schemaChanges {
      column
      change
      oldType
      newType
    }
    columns {
      name
    }
    rows {
      change
      changedColumns
      old
      new
    }
  }
}
`,
      variables: json({ from: 'snapshot-…', to: 'snapshot-…' }),
    },
    {
      query: `# 10. A link to download the data, for anyone who has it,
# until it expires: ORIGINAL, CSV, PARQUET or JSONL.
mutation Presign($input: PresignDataSourceInput!) {
  presignDataSource(input: $input) {
    url
    expiresAt
  }
}
`,
      variables: json({ input: { id: 'datasource-…', format: 'CSV', expiresIn: 600 } }),
    },
    {
      query: `# 11. Your Python over the data: \`run\` gets a pandas
# DataFrame and gives one. It is checked here and run by a
# job, isolated. More than fits into memory: write
# run_batches(batches). Scripts that ship with Headwater
# have keys that begin with \`local:\`, and say on top what
# they do.
mutation UploadScript($input: UploadScriptInput!) {
  uploadScript(input: $input) {
    script {
      key
      contract
    }
  }
}

query Scripts($source: ID!) {
  predefinedScripts {
    key
    body
  }
  dataSource(id: $source) {
    scripts {
      key
      updatedAt
    }
  }
}
`,
      variables: json({
        input: {
          dataSourceId: 'datasource-…',
          key: 'clean/large.py',
          body: [
            'def run(df, context):',
            '    large = df[df["id"] >= context.parameters["from"]]',
            '    print(f"{len(large)} of {len(df)} rows are large")',
            '    return large',
            '',
          ].join('\n'),
        },
        source: 'datasource-…',
      }),
    },
    {
      query: `# 12. Run scripts, one after the other; the result is a
# snapshot of its own. Keep the job's id: cancelJob and
# retryJob take it, and the tab Live shows it at work.
mutation RunScripts($input: CreateJobInput!) {
  createJob(input: $input) {
    job {
      id
      status
      reused
    }
  }
}
`,
      variables: json({
        input: {
          dataSourceId: 'datasource-…',
          steps: [
            { key: 'clean/large.py', execOrder: 1, parameters: { from: 100 } },
            { key: 'local:sort_rows', execOrder: 2, parameters: { columns: ['id'] } },
          ],
        },
      }),
    },
    {
      query: `# 13. What came of it: the log, and the rows. The data of
# the source stay as they are.
query Result($job: ID!) {
  job(id: $job) {
    status
    error {
      message
      hint
    }
    steps {
      key
      status
      rowsIn
      rowsOut
    }
    logs(first: 50) {
      lines {
        level
        step
        message
      }
    }
    snapshot {
      id
      isDerived
      derivedFrom {
        number
      }
      tables {
        name
        rowCount
        rows(first: 20) {
          columns {
            name
            type
          }
          rows
        }
      }
    }
  }
}
`,
      variables: json({ job: 'job-…' }),
    },
    {
      query: `# 14. By the clock: a sync, or scripts as in step 12, as
# \`work: { job: { steps } }\`. Each time runs once, however
# many workers there are.
mutation Schedule($input: CreateScheduleInput!) {
  createSchedule(input: $input) {
    schedule {
      id
      cron
      timeZone
      nextRunAt
    }
  }
}

query Schedules($source: ID!) {
  dataSource(id: $source) {
    schedules {
      nodes {
        id
        name
        isEnabled
        nextRunAt
        lastRunAt
        lastJob {
          id
          status
        }
        lastError {
          message
        }
      }
    }
  }
}
`,
      variables: json({
        input: {
          dataSourceId: 'datasource-…',
          name: 'Every night',
          cron: '30 2 * * *',
          timeZone: 'Europe/Berlin',
          work: { sync: {} },
        },
        source: 'datasource-…',
      }),
    },
    {
      query: `# What there is: everything that you may see.
query Overview {
  viewer {
    username
  }
  projects {
    totalCount
    nodes {
      id
      name
      dataSources {
        nodes {
          id
          name
          type
          status
          error {
            message
          }
        }
      }
    }
  }
}
`,
    },
  ];
})();
