// The audit log, newest first, and whether it is as the relay wrote it.

import { Component } from "./preact.mjs";
import { count, day, duration, moment } from "./format.js";
import { Figures } from "./overview.js";
import { Panel, Table, html, plural } from "./parts.js";
import { ask } from "./relay.js";

const PAGE = 100;

export class Audit extends Component {
  state = { rows: [], more: false, loaded: false, figures: null };

  componentDidMount() {
    this.load(false);
    if (this.props.may("read_figures")) {
      this.props.doing(async () => this.setState({ figures: new Figures(await ask("figures.now")) }));
    }
  }

  load(further) {
    const known = further ? this.state.rows : [];
    return this.props.doing(async () => {
      const { rows } = await ask("audit.list", { before: known.at(-1)?.row ?? null, limit: PAGE });
      this.setState({ rows: [...known, ...rows], more: rows.length === PAGE, loaded: true });
    });
  }

  verdict() {
    const { figures } = this.state;
    if (!figures) return null;
    const at = figures.value("audit_verified_at_seconds");
    const faults = figures.value("audit_faults");
    if (!at) return html`<p class="note">It was not verified yet since the relay was started.</p>`;
    const rows = plural(figures.value("audit_rows"), "row", "rows");
    const when = `${moment(at * 1000)} UTC, in ${duration(figures.value("audit_verify_seconds"))}`;
    return faults
      ? html`<p class="alarm" role="alert">${plural(faults, "row was", "rows were")} changed, removed or inserted by hand (${when}). <code>tokenim-relay audit verify</code> names them.</p>`
      : html`<p class="fine" data-verdict="fits">${rows} verified: nothing was changed, removed or inserted (${when}).</p>`;
  }

  render(_, { rows, more, loaded }) {
    return html`
      <${Panel} title="Verification" note="Each row is a leaf of a tree whose heads the relay signs. What was sent, and by whom, is in no row.">
        ${this.verdict()}
      </${Panel}>
      <${Panel} title="Who did what">
        ${loaded && !rows.length && html`<p>Nothing yet.</p>`}
        ${rows.length > 0 && html`
          <${Table} caption="Audit log, newest first" heads=${[{ name: "Row", number: true }, "When (UTC)", "Who", "What", "To whom or what", "Detail", "Outcome"]}>
            ${rows.map((row) => html`
              <tr key=${row.row}>
                <th scope="row" class="number">${count(row.row)}</th>
                <td>${row.is_day ? day(row.time_ms) : moment(row.time_ms)}</td>
                <td><code title=${row.actor}>${short(row.actor)}</code></td>
                <td>${row.action}</td>
                <td><code title=${row.subject}>${short(row.subject)}</code></td>
                <td>${row.detail}</td>
                <td class=${row.outcome === "done" ? "" : "refused"}>${row.outcome}</td>
              </tr>`)}
          </${Table}>`}
        ${more && html`<button class="plain" onClick=${() => this.load(true)}>Show older</button>`}
      </${Panel}>`;
  }
}

/** The beginning of a long id; the whole is in the title. */
const short = (party) => (party.length > 24 ? `${party.slice(0, 20)}…` : party);
