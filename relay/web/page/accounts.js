// Accounts and their roles: found, suspended, resumed, deleted.

import { Component } from "./preact.mjs";
import { count, day, size } from "./format.js";
import { Panel, Question, Table, html, plural } from "./parts.js";
import { ask } from "./relay.js";

const PAGE = 50;

export class Accounts extends Component {
  state = { accounts: [], more: false, loaded: false, role: "", state: "", begins: "", question: null };

  componentDidMount() {
    this.load(false);
  }

  wanted() {
    const { role, state, begins } = this.state;
    return { role, suspended: state === "" ? null : state === "suspended", handle_begins: begins.toLowerCase() };
  }

  async load(further) {
    const known = further ? this.state.accounts : [];
    const asked = (this.asked = {});
    await this.props.doing(async () => {
      const after = known.at(-1)?.account ?? "";
      const { accounts } = await ask("account.list", { ...this.wanted(), after, limit: PAGE });
      if (asked !== this.asked) return; // somebody has asked for something else since
      this.setState({ accounts: [...known, ...accounts], more: accounts.length === PAGE, loaded: true });
    });
  }

  set(name) {
    return (event) => {
      this.setState({ [name]: event.target.value });
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.load(false), name === "begins" ? 200 : 0);
    };
  }

  change(command, account, given, said) {
    return this.props.doing(async () => {
      const told = await ask(command, { account: account.account, ...given });
      this.setState(({ accounts }) => ({
        accounts: accounts.map((one) => (one.account === told.account ? { ...one, ...told } : one)),
        question: null,
      }));
      this.props.say(`${account.handle ?? account.account.slice(0, 12)}: ${said}.`);
    });
  }

  remove(account) {
    return this.props.doing(async () => {
      const { held_until_ms: held } = await ask("account.delete", { account: account.account });
      this.setState(({ accounts }) => ({
        accounts: accounts.filter((one) => one.account !== account.account),
        question: null,
      }));
      this.props.say(`${account.handle ?? account.account.slice(0, 12)} is deleted${held ? `: what a hold keeps of it goes on ${day(held)}` : ""}.`);
    });
  }

  row(account) {
    const { may, roles } = this.props;
    const name = account.handle ?? account.account.slice(0, 12);
    const role = may("grant_roles")
      ? html`<select aria-label=${`Role of ${name}`} value=${account.role} onChange=${(event) => this.change("role.grant", account, { role: event.target.value }, `${event.target.value} from now on`).then(() => this.forceUpdate())}>
          ${(roles.includes(account.role) ? roles : [...roles, account.role]).map((one) => html`<option value=${one} selected=${one === account.role}>${one}</option>`)}
        </select>`
      : account.role;
    const shut = account.suspended
      ? html`<button class="plain" onClick=${() => this.change("account.resume", account, {}, "resumed")}>Resume<span class="unseen"> ${name}</span></button>`
      : html`<button class="plain" onClick=${() => this.change("account.suspend", account, {}, "suspended")}>Suspend<span class="unseen"> ${name}</span></button>`;
    return html`
      <tr key=${account.account} class=${account.suspended ? "shut" : ""}>
        <th scope="row"><span class="handle">${account.handle ?? "no handle"}</span><code title=${account.account}>${account.account.slice(0, 12)}…</code></th>
        <td>${role}</td>
        <td>${account.suspended ? html`<strong>suspended</strong>` : "active"}</td>
        <td class="number">${count(account.devices)}</td>
        <td>${account.seen_day ? day(account.seen_day * 86_400_000) : "never"}</td>
        <td>${day(account.created_at_ms)}</td>
        <td class="number">${count(account.envelopes)}<small>${size(account.envelope_bytes)}</small></td>
        <td class="number">${size(account.blob_bytes)}</td>
        <td class="buttons">
          ${may("suspend_accounts") && shut}
          ${may("remove_accounts") && html`<button class="danger plain" onClick=${() => this.setState({ question: account })}>Delete<span class="unseen"> ${name}</span></button>`}
        </td>
      </tr>`;
  }

  render({ roles }, { accounts, more, loaded, role, state, begins, question }) {
    const heads = ["Account", "Role", "State", { name: "Devices", number: true }, "Seen", "Since", { name: "Waiting", number: true }, { name: "Files", number: true }, "Actions"];
    return html`
      <${Panel} title="Who is here">
        <form class="filters" onSubmit=${(event) => event.preventDefault()}>
          <label>Handle begins with <input type="search" value=${begins} onInput=${this.set("begins")} autocapitalize="off" spellcheck=${false} /></label>
          <label>Role <select value=${role} onChange=${this.set("role")}><option value="">any</option>${roles.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
          <label>State <select value=${state} onChange=${this.set("state")}><option value="">any</option><option value="active">active</option><option value="suspended">suspended</option></select></label>
        </form>
        ${loaded && !accounts.length && html`<p>There is no such account.</p>`}
        ${accounts.length > 0 && html`<${Table} caption="Accounts" heads=${heads}>${accounts.map((account) => this.row(account))}</${Table}>`}
        ${loaded && html`<p class="note" role="status">${plural(accounts.length, "account", "accounts")} shown${more ? ", there are more" : ""}.</p>`}
        ${more && html`<button class="plain" onClick=${() => this.load(true)}>Show more</button>`}
      </${Panel}>
      ${question && html`<${Question} title="Delete this account for ever?" action="Delete" word=${question.handle ?? question.account.slice(0, 12)}
        text=${`What waits for it, its files and its handle go; ${plural(question.devices, "device", "devices")} cannot come back. This cannot be undone.`}
        done=${() => this.remove(question)} left=${() => this.setState({ question: null })} />`}`;
  }
}
