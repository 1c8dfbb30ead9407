// The OpenAPI documents of the dialects that this server has turned on, to read and to try out.
"use strict";

const root = document.getElementById("documents");

function say(text) {
  const line = document.createElement("p");
  line.className = "waiting";
  line.textContent = text;
  root.replaceChildren(line);
}

async function boot() {
  const answer = await fetch("/gateway/openapi");
  const { documents } = await answer.json();
  if (documents.length === 0) {
    say("No dialect is turned on: HEADWATER_GATEWAY_DIALECTS is empty.");
    return;
  }
  SwaggerUIBundle({
    domNode: root,
    urls: documents.map(({ title, url }) => ({ name: title, url })),
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
    deepLinking: true,
    validatorUrl: null,
    withCredentials: false,
  });
}

boot().catch((error) => say(`The documents cannot be shown: ${error.message}`));
