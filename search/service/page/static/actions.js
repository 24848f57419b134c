/** The buttons that steer a sweep, as its state allows; what cannot be taken back is asked about first. */

import { ask, sweepPath } from "./api.js";
import { announce, element, inStep, trouble } from "./element.js";

const ACTIONS = [
  { verb: "pause", word: "Pause", states: ["queued", "running"], done: "Asked to pause" },
  { verb: "resume", word: "Resume", states: ["pausing", "paused", "failed"], done: "Asked to resume" },
  {
    verb: "cancel",
    word: "Cancel",
    states: ["queued", "running", "pausing", "paused"],
    done: "Asked to cancel",
    question: "Cancel this sweep?",
    consequence: "It cannot be resumed afterwards. What its finished trials found stays.",
    confirm: "Cancel the sweep",
  },
  {
    verb: "delete",
    word: "Delete",
    states: ["paused", "cancelled", "done", "failed"],
    done: "Deleted",
    question: "Delete this sweep?",
    consequence: "Its trials, log, figures and MLflow runs are deleted with it, for good.",
    confirm: "Delete the sweep",
  },
];

/** The buttons of one sweep. */
export class Actions {
  /**
   * @param {string} sweepId
   * @param {() => void} afterwards called when something was done, with the verb
   */
  constructor(sweepId, afterwards) {
    this.sweepId = sweepId;
    this.afterwards = afterwards;
    this.buttons = element("div", { class: "buttons" });
    this.question = element("h2", { id: "question" });
    this.consequence = element("p", { id: "consequence" });
    this.answers = element("div", { class: "buttons" });
    this.dialog = element(
      "dialog",
      { "aria-labelledby": "question", "aria-describedby": "consequence" },
      this.question,
      this.consequence,
      this.answers,
    );
    this.node = element("div", { class: "actions" }, this.buttons, this.dialog);
  }

  renew(state) {
    const possible = ACTIONS.filter((action) => action.states.includes(state));
    const hadFocus = this.buttons.contains(document.activeElement);
    inStep(
      this.buttons,
      possible,
      (action) => action.verb,
      (action) =>
        element(
          "button",
          { type: "button", class: action.question ? "button grave" : "button", click: () => this.start(action) },
          action.word,
        ),
      () => {},
    );
    // The button that was pressed may be gone; who uses the keyboard should not be thrown back to the top.
    if (hadFocus && !this.buttons.contains(document.activeElement)) this.buttons.querySelector("button")?.focus();
  }

  start(action) {
    if (action.question === undefined) return this.carryOut(action);
    const close = () => this.dialog.close();
    this.question.textContent = action.question;
    this.consequence.textContent = action.consequence;
    this.answers.replaceChildren(
      element("button", { type: "button", class: "button", autofocus: true, click: close }, "Keep it"),
      element(
        "button",
        { type: "button", class: "button grave", click: () => this.carryOut(action, close()) },
        action.confirm,
      ),
    );
    this.dialog.showModal();
    return null;
  }

  async carryOut(action) {
    try {
      if (action.verb === "delete") await ask("DELETE", sweepPath(this.sweepId));
      else await ask("POST", sweepPath(this.sweepId, action.verb));
      announce(action.done);
      trouble("");
      this.afterwards(action.verb);
    } catch (problem) {
      trouble(problem.message);
    }
  }
}
