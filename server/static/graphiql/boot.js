// Starts GraphiQL on our own endpoint. The printed link carries the API token behind the # of the address, which no
// browser sends to a server; it goes from there to the Headers pane and to this browser tab's session, nowhere else.
'use strict';

(() => {
  const TOKEN = 'headwater:token';
  const PLACEHOLDER = 'Bearer PASTE_YOUR_TOKEN_HERE';

  function takeToken() {
    const fragment = new URLSearchParams(window.location.hash.slice(1));
    const token = fragment.get('token');
    if (token) {
      window.sessionStorage.setItem(TOKEN, token);
      window.history.replaceState(null, '', window.location.pathname + window.location.search);
    }
    return token ?? window.sessionStorage.getItem(TOKEN);
  }

  // GraphiQL's own client for subscriptions: a socket for each, which carries the headers in its first message.
  const live = GraphiQL.createFetcher({
    url: '/graphql',
    subscriptionUrl: `${window.location.origin.replace(/^http/, 'ws')}/graphql`,
  });

  function isSubscription(parameters, document) {
    const asked = parameters.operationName;
    return (document?.definitions ?? []).some(
      (each) => each.operation === 'subscription' && (!asked || each.name?.value === asked),
    );
  }

  async function fetcher(parameters, options) {
    const chosen = { ...options?.headers };
    if (chosen.Authorization === PLACEHOLDER) {
      delete chosen.Authorization; // nobody yet, rather than a wrong token
    }
    if (isSubscription(parameters, options?.documentAST)) {
      return live(parameters, { ...options, headers: chosen });
    }
    let response;
    try {
      response = await fetch('/graphql', {
        method: 'POST',
        headers: {
          accept: 'application/graphql-response+json, application/json',
          'content-type': 'application/json',
          ...chosen,
        },
        body: JSON.stringify(parameters),
        cache: 'no-store',
        credentials: 'omit',
      });
    } catch {
      throw new Error('The server does not answer. Is it running?');
    }
    return response.json();
  }

  const token = takeToken();
  const headers = JSON.stringify({ Authorization: token ? `Bearer ${token}` : PLACEHOLDER }, null, 2);

  // GraphiQL keeps tabs and history from one visit to the next; headers, with the token in them, never: null gives
  // `defaultHeaders`.
  const local = window.localStorage;
  const storage = {
    get length() {
      return local.length;
    },
    getItem: (key) => local.getItem(key),
    removeItem: (key) => local.removeItem(key),
    clear: () => local.clear(),
    setItem(key, value) {
      const isJson = value.startsWith('{') && value.includes('"headers"');
      const bare = (name, item) => (name === 'headers' ? null : item);
      local.setItem(key, isJson ? JSON.stringify(JSON.parse(value, bare)) : value);
    },
  };

  // What stands in the editors at first it reads from the storage, not from the first tab.
  const [first] = headwaterExamples;
  if (storage.getItem('graphiql:tabState') === null) {
    storage.setItem('graphiql:query', first.query);
    storage.setItem('graphiql:variables', first.variables);
  }

  const { createElement } = React;
  const page = createElement(
    GraphiQL,
    {
      fetcher,
      storage,
      defaultTabs: headwaterExamples,
      defaultHeaders: headers,
      defaultEditorToolsVisibility: token ? 'variables' : 'headers',
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
      inputValueDeprecation: true,
      plugins: [GraphiQLPluginExplorer.explorerPlugin()],
    },
    createElement(GraphiQL.Logo, null, createElement('span', { className: 'headwater-name' }, 'Headwater')),
  );
  ReactDOM.createRoot(document.getElementById('graphiql')).render(page);
})();
