/** What happened to a sweep, told by the service as it happens. */

import { address, sweepPath } from "./api.js";
import { element } from "./element.js";
import { clock, prose, share } from "./words.js";

const KINDS = ["submitted", "started", "state", "trial_started", "trial_finished", "trial_released", "log"];
const MOST_LINES = 500;

/** What an event says, with the trial that it is about and what it reached. */
function told(event) {
  const trial = event.trial_id?.match(/-(\d+)$/);
  const about = trial ? `Trial ${Number(trial[1])} ` : "";
  const { objective } = event.data;
  return `${about}${event.message}${typeof objective === "number" ? `, ${share(objective)}` : ""}`;
}

/** The log's newest lines, newest first; `follow` has it go on while the page is seen. */
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
    this.node = element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Log, newest first" },
      this.lines,
    );
    signal.addEventListener("abort", () => this.stop());
    // A browser keeps six connections a service: a tab that nobody looks at gives its own back.
    document.addEventListener("visibilitychange", () => document.hidden && this.stop(), { signal });
  }

  /** Whether it has come to the event of a number. */
  has(number) {
    return this.last >= number;
  }

  /** Follow the log, unless that is done already. @param {number} newest number of its newest event, as is known */
  follow(newest) {
    if (this.source !== null || this.signal.aborted || document.hidden) return;
    this.last = Math.max(this.last, newest - MOST_LINES);
    this.source = new EventSource(address(sweepPath(this.sweepId, "events"), { after: this.last }));
    for (const kind of KINDS) this.source.addEventListener(kind, (message) => this.add(JSON.parse(message.data)));
    this.source.addEventListener("end", () => this.stop());
    // Closed, not interrupted: there is nothing more to come, or the service could not answer.
    this.source.addEventListener("error", () => this.source?.readyState === EventSource.CLOSED && this.stop());
  }

  stop() {
    this.source?.close();
    this.source = null;
  }

  add(event) {
    if (event.number <= this.last) return;
    this.last = event.number;
    const level = event.level === "info" ? null : element("strong", {}, `${event.level}: `);
    const words = element("span", {}, level, prose(told(event)));
    this.lines.prepend(element("li", { class: event.level }, clock(event.at), words));
    if (this.lines.childElementCount > MOST_LINES) this.lines.lastElementChild.remove();
    this.happened();
  }
}
