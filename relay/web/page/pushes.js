// Wakeups by push service: what became of them, and how long each service took. Nothing where no service is on.

import { count, duration } from "./format.js";
import { Panel, Table, html } from "./parts.js";

const HEADS = ["Service", ...["Sent", "Failed", "Retried", "Dropped", "Unregistered", "Half within", "99 % within"].map((name) => ({ name, number: true }))];

/** Whether devices may be woken at this relay. */
export const areOn = (figures) => figures.value("push_registrations") !== null;

/** Of each service that was ever tried: its numbers. An answer is told as `kind word`, as in `web busy`. */
function services(figures) {
  const tries = figures.of("push_tries_total").map(({ label, value }) => ({ kind: label.split(" ")[0], answer: label.split(" ")[1], value }));
  const kinds = [...new Set(tries.map((one) => one.kind))].sort();
  return kinds.map((kind) => {
    const of = (name) => figures.value(`push_${name}_total`, kind);
    const failed = tries.filter((one) => one.kind === kind && one.answer !== "accepted").reduce((sum, one) => sum + one.value, 0);
    return { kind, failed, sent: of("sent"), retried: of("retried"), dropped: of("dropped"), removed: of("removed"), took: figures.took(`push_${kind}_seconds`) };
  });
}

export const Pushes = ({ figures }) => {
  if (!areOn(figures)) return null;
  const found = services(figures);
  return html`
    <${Panel} title="Wakeups, by push service" note="Since the relay was started. A try that failed for now is retried; a wakeup is dropped when the service refuses it, or after five hours.">
      ${found.length
        ? html`<${Table} caption="Wakeups by push service" heads=${HEADS}>
            ${found.map(({ kind, took, ...numbers }) => html`
              <tr key=${kind}>
                <th scope="row"><code>${kind}</code></th>
                ${["sent", "failed", "retried", "dropped", "removed"].map((name) => html`<td class="number" data-push=${`${kind} ${name}`}>${count(numbers[name])}</td>`)}
                <td class="number">${duration(took.p50_seconds)}</td>
                <td class="number">${duration(took.p99_seconds)}</td>
              </tr>`)}
          </${Table}>`
        : html`<p>Nobody was woken yet.</p>`}
    </${Panel}>`;
};
