// What htmx has no attribute for: to say that the console itself is gone, and that it is back; and not to ask again
// and again while nobody looks, since on AWS each look costs calls; and to leave open what is open.
"use strict";

const offline = () => document.getElementById("offline");
const filled = new WeakSet();

document.addEventListener("htmx:beforeRequest", (event) => {
  const nobodyAsked = !event.detail.requestConfig.triggeringEvent; // a clock did
  if (document.hidden && nobodyAsked && filled.has(event.detail.elt)) event.preventDefault();
});
document.addEventListener("htmx:sendError", () => { offline().hidden = false; });
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.xhr.status === 0) return;
  offline().hidden = true;
  filled.add(event.detail.elt);
});

// What a person has opened stays open when its panel is refreshed: the server does not know of it.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.localName === "details");
