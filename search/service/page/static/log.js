/** What happened to a sweep, told by the service as it happens. */

import { address, sweepPath } from "./api.js";
import { element } from "./element.js";
import { clock } from "./words.js";

const MOST_LINES = 500;

/** The log, newest line first; it follows the service's events while the page is seen. */
export class Log {
  /**
   * @param {string} sweepId
   * @param {() => void} happened called after every line
   * @param {AbortSignal} signal
   */
  constructor(sweepId, happened, signal) {
    this.sweepId = sweepId;
    this.happened = happened;
    this.signal = signal;
    this.last = 0;
    this.source = null;
    this.lines = element("ol", { class: "log", reversed: true });
    this.node = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Log, newest first" }, this.lines);
    signal.addEventListener("abort", () => this.stop());
    // A browser keeps six connections a service: a tab that nobody looks at gives its own back.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.follow()), { signal });
    this.follow();
  }

  follow() {
    if (this.source !== null || this.signal.aborted) return;
    this.source = new EventSource(address(sweepPath(this.sweepId, "events"), { after: this.last }));
    this.source.addEventListener("message", (message) => this.add(JSON.parse(message.data)));
    this.source.addEventListener("end", () => this.stop());
  }

  stop() {
    this.source?.close();
    this.source = null;
  }

  add(event) {
    if (event.number <= this.last) return;
    this.last = event.number;
    const level = event.level === "info" ? null : element("strong", {}, `${event.level}: `);
    this.lines.prepend(element("li", { class: event.level }, clock(event.at), element("span", {}, level, event.message)));
    if (this.lines.childElementCount > MOST_LINES) this.lines.lastElementChild.remove();
    this.happened();
  }
}
