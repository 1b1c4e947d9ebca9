// How the relay stands: figures as they are now, charts of the last hour, refusals by reason.

import { Component } from "./preact.mjs";
import { Chart } from "./chart.js";
import { count, day, duration, rate, size } from "./format.js";
import { Pushes, areOn } from "./pushes.js";
import { Figure, Panel, Repeated, Table, html } from "./parts.js";
import { ask } from "./relay.js";

const FIGURES_SECONDS = 2;
const CHARTS_SECONDS = 5;

/** All values of one figure, and their sum. */
export class Figures {
  constructor(told) {
    this.told = told;
  }

  of(name) {
    return this.told.figures.filter((figure) => figure.name === name);
  }

  /** The sum over its labels, or of one; null for what was never told, but 0 for what is counted. */
  value(name, label) {
    const found = this.of(name).filter((figure) => label === undefined || figure.label === label);
    if (!found.length) return name.endsWith("_total") ? 0 : null;
    return found.reduce((sum, figure) => sum + figure.value, 0);
  }

  took(name) {
    return this.told.durations.find((figure) => figure.name === name);
  }
}

/** What somebody has to look after, in words. */
function alarms(figures) {
  const found = [];
  if (figures.value("store_failed")) found.push("The store has failed. Nothing is accepted until the relay is started again.");
  if (figures.value("storage_full")) found.push("The disk is full. Envelopes are refused until there is room.");
  if (figures.value("audit_faults")) found.push("The audit log was changed by hand: `tokenim-relay audit verify` names the rows.");
  if (figures.value("audit_heads_unkept")) found.push("Heads of the audit log cannot be written to their second place.");
  return found;
}

const last = (values) => (values.length ? values.at(-1) : null);

export class Overview extends Component {
  state = { now: null, recent: null };

  componentDidMount() {
    this.polls = [
      new Repeated(FIGURES_SECONDS, () => this.take("now", "figures.now")),
      new Repeated(CHARTS_SECONDS, () => this.take("recent", "figures.recent")),
    ];
  }

  componentWillUnmount() {
    for (const poll of this.polls) poll.stop();
  }

  async take(name, command) {
    try {
      this.setState({ [name]: await ask(command), failed: null });
      this.props.told(null);
    } catch (error) {
      this.props.told(error);
    }
  }

  render({ theme }, { now, recent }) {
    if (!now) return html`<p class="waiting">Asking the relay …</p>`;
    const figures = new Figures(now);
    return html`
      ${alarms(figures).map((text) => html`<p class="alarm" role="alert">${text}</p>`)}
      <${Now} figures=${figures} recent=${recent} />
      ${recent && html`<${Charts} recent=${recent} pushes=${areOn(figures)} theme=${theme} />`}
      <${Pushes} figures=${figures} />
      <${Refusals} figures=${figures} />
      <${Usage} />`;
  }
}

const Now = ({ figures, recent }) => {
  const free = figures.value("disk_free_bytes");
  const disk = figures.value("disk_bytes");
  const series = recent?.series;
  const oldest = figures.value("oldest_waiting_seconds");
  const commit = figures.took("store_seconds");
  const figure = (name, key, shown, note, state) => html`
    <${Figure} name=${name} figure=${key} value=${figures.value(key)} shown=${shown(figures.value(key))} note=${note} state=${state} />`;
  return html`
    <dl class="figures">
      ${figure("Connections", "connections", count, `${count(figures.value("connections", "mailbox"))} with a mailbox`)}
      ${figure("Accepted", "accepted_total", count, series && `${rate(last(series.accepted_total))} a second`)}
      ${figure("Delivered", "acknowledged_total", count, series && `${rate(last(series.acknowledged_total))} a second`)}
      <${Figure} name="Commit" figure="store_seconds" value=${commit.count} shown=${duration(commit.p50_seconds)} note=${`p99 ${duration(commit.p99_seconds)}`} />
      ${figure("Waiting", "waiting_envelopes", count, oldest ? `the oldest for ${duration(oldest)}` : "nothing is late")}
      ${figure("Accounts", "accounts", count)}
      ${figure("One-time prekeys", "one_time_prekeys", count, "in stock")}
      ${areOn(figures) && figure("Woken by push", "push_registrations", count, figures.value("push_paused") ? "a push service fails" : "devices", figures.value("push_paused") ? "low" : "")}
      ${figure("Free disk", "disk_free_bytes", size, `of ${size(disk)}`, disk && free / disk < 0.1 ? "low" : "")}
    </dl>`;
};

const Charts = ({ recent, pushes, theme }) => {
  const lines = (...named) => named.map(([name, key]) => ({ name, values: recent.series[key] }));
  const chart = (title, format, ...named) => html`
    <${Chart} title=${title} format=${format} whole=${format === count} at=${recent.at_ms} lines=${lines(...named)} theme=${theme} />`;
  return html`
    <${Panel} title="The last hour">
      <div class="charts">
        ${chart("Envelopes a second", rate, ["accepted", "accepted_total"], ["delivered", "acknowledged_total"])}
        ${chart("Commit", duration, ["p50", "store_seconds_p50"], ["p99", "store_seconds_p99"])}
        ${chart("Connections", count, ["connections", "connections"])}
        ${chart("Waiting envelopes", count, ["waiting", "waiting_envelopes"])}
        ${chart("Oldest that waits", duration, ["age", "oldest_waiting_seconds"])}
        ${chart("Requests a second", rate, ["answered", "requests_total"], ["refused", "refused_total"])}
        ${chart("Event loop late", duration, ["p50", "loop_late_seconds_p50"], ["p99", "loop_late_seconds_p99"])}
        ${chart("Database", size, ["size", "database_bytes"])}
        ${chart("Free disk", size, ["free", "disk_free_bytes"])}
        ${chart("One-time prekeys", count, ["in stock", "one_time_prekeys"])}
        ${pushes && chart("Wakeups a second", rate, ["sent", "push_sent_total"], ["dropped", "push_dropped_total"])}
        ${pushes && chart("Wakeups that wait", count, ["waiting", "push_waiting"])}
      </div>
    </${Panel}>`;
};

/** How much the relay was used, by day. Asked for once: a day that is over changes no more. */
class Usage extends Component {
  state = { days: null };

  async componentDidMount() {
    try {
      this.setState({ days: (await ask("usage.show")).days.reverse() });
    } catch {
      this.setState({ failed: true }); // the figures, which are asked for again and again, say why
    }
  }

  render(_, { days, failed }) {
    const classes = Object.keys(days?.find((one) => one.accepted)?.accepted ?? {});
    const least = (value, step) => (value ? count(value) : `under ${step}`);
    const heads = ["Day", { name: "Active devices", number: true }, ...classes.map((name) => ({ name: `Up to ${name}`, number: true }))];
    return html`
      <${Panel} title="By day" note="Devices that were here and envelopes accepted, of days (UTC) that are over. Rounded down, so that no number tells of one person.">
        ${failed && html`<p>The relay did not tell.</p>`}
        ${days && !days.length && html`<p>No day has ended yet.</p>`}
        ${days?.length > 0 && html`
          <${Table} caption="Use by day" heads=${heads}>
            ${days.map((one) => html`
              <tr key=${one.day}>
                <th scope="row">${day(one.day * 86_400_000)}</th>
                <td class="number">${one.active_devices === null ? "fewer than 10" : count(one.active_devices)}</td>
                ${classes.map((name) => html`<td class="number">${one.accepted ? least(one.accepted[name], 100) : "–"}</td>`)}
              </tr>`)}
          </${Table}>`}
      </${Panel}>`;
  }
}

const Refusals = ({ figures }) => {
  const refused = [
    ...figures.of("refused_total").map((figure) => ({ ...figure, what: "request or connection" })),
    ...figures.of("outcomes_total").map((figure) => ({ ...figure, what: "target of a submit" })),
  ].sort((one, other) => other.value - one.value);
  return html`
    <${Panel} title="Refused, by reason" note="Since the relay was started. The protocol document says when each is answered.">
      ${refused.length
        ? html`<${Table} caption="Refusals by reason" heads=${["Reason", "What was refused", { name: "How often", number: true }]}>
            ${refused.map((figure) => html`
              <tr><th scope="row"><code>${figure.label}</code></th><td>${figure.what}</td><td class="number" data-refused=${figure.label}>${count(figure.value)}</td></tr>`)}
          </${Table}>`
        : html`<p>Nothing yet.</p>`}
    </${Panel}>`;
};
