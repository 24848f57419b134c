/** Which view is shown: the address after `#` says. */

import { showAccount } from "./account.js";
import { announce, trouble } from "./element.js";
import { showForm } from "./submission.js";
import { showSweep } from "./sweep.js";
import { showSweeps } from "./sweeps.js";

const view = document.getElementById("view");
let leaving = new AbortController();
let first = true;

function show() {
  const asked = location.hash;
  if (asked && !asked.startsWith("#/")) return; // a place within the view, e.g. from the skip link
  leaving.abort();
  leaving = new AbortController();
  const [path, query = ""] = asked.replace(/^#/, "").split("?");
  const given = new URLSearchParams(query);
  const sweep = path.match(/^\/sweeps\/([^/]+)$/);
  view.replaceChildren();
  trouble("");
  if (sweep) showSweep(view, decodeURIComponent(sweep[1]), leaving.signal);
  else if (path === "/new") showForm(view, given, leaving.signal);
  else showSweeps(view, given, leaving.signal);
  mark(path === "/new" ? "new" : sweep ? "" : "sweeps");
  const heading = view.querySelector("h1");
  document.title = `${heading.textContent} – Emphasis`;
  if (!first) {
    heading.tabIndex = -1;
    heading.focus();
    window.scrollTo(0, 0);
    announce("");
  }
  first = false;
}

function mark(current) {
  for (const link of document.querySelectorAll("[data-nav]")) {
    if (link.dataset.nav === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

window.addEventListener("hashchange", show);
showAccount();
show();
