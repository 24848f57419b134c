/** Who is logged in: their name and a way out; who may only read is offered nothing that would be refused. */

import { read } from "./api.js";
import { forget } from "./draft.js";

export async function showAccount() {
  const me = await read("/me").catch(() => null); // whatever is wrong, the view says it
  if (me === null) return;
  document.body.classList.toggle("reads-only", me.role === "reader");
  const account = document.getElementById("account");
  account.querySelector("span").textContent = me.role === "reader" ? `${me.name} (reads only)` : me.name;
  account.hidden = !me.logged_in;
  account.addEventListener("submit", forget);
}
