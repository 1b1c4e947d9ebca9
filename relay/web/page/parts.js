// What several views are made of.

import { Component, h } from "./preact.mjs";
import htm from "./htm.mjs";

export const html = htm.bind(h);

export const plural = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** A box around a part of a view. */
export const Panel = ({ title, children, note, ...rest }) => html`
  <section class="panel" ...${rest}>
    <h2>${title}</h2>
    ${note && html`<p class="note">${note}</p>`}
    ${children}
  </section>`;

/** A figure with its name. `figure`: its name in /metrics, `value`: the number itself. */
export const Figure = ({ name, shown, figure, value, note, state }) => html`
  <div class=${`figure ${state ?? ""}`}>
    <dt>${name}</dt>
    <dd><data value=${value ?? ""} data-figure=${figure}>${shown}</data>${note && html`<small>${note}</small>`}</dd>
  </div>`;

/** A table that scrolls by itself where it is too wide; the keyboard reaches it. */
export const Table = ({ caption, heads, children }) => html`
  <div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption class="unseen">${caption}</caption>
      <thead><tr>${heads.map((head) => html`<th scope="col" class=${head.number ? "number" : ""}>${head.name ?? head}</th>`)}</tr></thead>
      <tbody>${children}</tbody>
    </table>
  </div>`;

/** Asks before something that cannot be undone; `word` has to be typed, if there is one. */
export class Question extends Component {
  state = { typed: "" };

  componentDidMount() {
    this.dialog.showModal();
  }

  render({ title, text, word, action, done, left }) {
    const ready = !word || this.state.typed === word;
    return html`
      <dialog ref=${(element) => (this.dialog = element)} onClose=${left} aria-labelledby="question">
        <form method="dialog" onSubmit=${(event) => { event.preventDefault(); if (ready) done(); }}>
          <h2 id="question">${title}</h2>
          <p>${text}</p>
          ${word && html`
            <label>Type <code>${word}</code> to go on
              <input value=${this.state.typed} onInput=${(event) => this.setState({ typed: event.target.value })} autocomplete="off" autocapitalize="off" spellcheck=${false} />
            </label>`}
          <div class="buttons">
            <button type="button" class="plain" onClick=${() => this.dialog.close()}>Cancel</button>
            <button type="submit" class="danger" disabled=${!ready}>${action}</button>
          </div>
        </form>
      </dialog>`;
  }
}

/** Calls `tick` again and again, `seconds` after the last one ended, while the page is looked at. */
export class Repeated {
  constructor(seconds, tick) {
    this.seconds = seconds;
    this.tick = tick;
    this.stopped = false;
    this.wake = () => document.hidden || this.run();
    document.addEventListener("visibilitychange", this.wake);
    this.run();
  }

  async run() {
    clearTimeout(this.timer);
    if (this.stopped || document.hidden || this.running) return;
    this.running = true;
    await this.tick();
    this.running = false;
    if (!this.stopped) this.timer = setTimeout(() => this.run(), this.seconds * 1000);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.wake);
  }
}
