// What htmx has no attribute for: to say that the console itself is gone, and that it is back.
"use strict";

const offline = () => document.getElementById("offline");

document.addEventListener("htmx:sendError", () => { offline().hidden = false; });
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.xhr.status > 0) offline().hidden = true;
});
