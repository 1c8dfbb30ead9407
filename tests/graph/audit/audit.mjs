// Prints the results of the GraphQL-over-HTTP audits of one URL as JSON: [{id, name, status, reason}].
import { serverAudits } from 'graphql-http';

const url = process.argv[2];

// Queries by GET are taken only from clients that no other site can impersonate (see graph/http.py).
const fetchFn = (target, init = {}) =>
  fetch(target, { ...init, headers: { 'graphql-require-preflight': '1', ...init.headers } });

const results = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const { id, name, status, reason } = await audit.fn();
  results.push({ id, name, status, reason });
}
console.log(JSON.stringify(results));
