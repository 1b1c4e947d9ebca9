// Invites: made, shown once, revoked.

import { Component } from "./preact.mjs";
import { count, moment } from "./format.js";
import { Panel, Table, html } from "./parts.js";
import { ask } from "./relay.js";

export class Invites extends Component {
  state = { invites: [], loaded: false, role: "member", uses: "1", days: "7", hosts: "", stay: "30", link: null };

  componentDidMount() {
    this.load();
  }

  load() {
    return this.props.doing(async () => this.setState({ invites: (await ask("invite.list")).invites, loaded: true }));
  }

  make() {
    const { role, uses, days, hosts, stay } = this.state;
    return this.props.doing(async () => {
      const seconds = days === "" ? null : Math.round(Number(days) * 86_400);
      const guest = role === "guest" ? { hosts: hosts.split(/[\s,]+/).filter(Boolean), stay_seconds: Number(stay) * 86_400 } : {};
      const { link } = await ask("invite.create", { role, uses: Number(uses), ttl_seconds: seconds, ...guest });
      this.setState({ link });
      this.props.say("The invite is made. Its link is shown here once.");
      await this.load();
    });
  }

  revoke(invite) {
    return this.props.doing(async () => {
      await ask("invite.revoke", { name: invite.name });
      this.props.say(`The invite ${invite.name} is revoked.`);
      await this.load();
    });
  }

  copy() {
    return this.props.doing(async () => {
      await navigator.clipboard.writeText(this.state.link);
      this.props.say("The link is copied.");
    });
  }

  render({ roles }, { invites, loaded, role, uses, days, hosts, stay, link }) {
    const set = (name) => (event) => this.setState({ [name]: event.target.value });
    return html`
      <${Panel} title="A new invite">
        <form class="filters" onSubmit=${(event) => { event.preventDefault(); this.make(); }}>
          <label>Role <select value=${role} onChange=${set("role")}>${roles.map((one) => html`<option value=${one} selected=${one === role}>${one}</option>`)}</select></label>
          <label>Accounts it makes <input type="number" min="1" required value=${uses} onInput=${set("uses")} /></label>
          <label>Days it is good <input type="number" min="0" step="any" value=${days} onInput=${set("days")} aria-describedby="no-end" /></label>
          ${role === "guest" && html`
            <label>Accounts they may write to <input required value=${hosts} onInput=${set("hosts")} autocapitalize="off" spellcheck=${false} /></label>
            <label>Days they stay <input type="number" min="1" max="365" required value=${stay} onInput=${set("stay")} /></label>`}
          <button type="submit">Make</button>
        </form>
        <p class="note" id="no-end">Without a number of days it is good until it is used or revoked.</p>
        ${link && html`<div class="link"><code data-invite>${link}</code><button class="plain" onClick=${() => this.copy()}>Copy</button></div>
          <p class="note">Whoever has this link can make the account: send it the way you would send a key. It is not kept, and not shown again.</p>`}
      </${Panel}>
      <${Panel} title="Open invites">
        ${loaded && !invites.length && html`<p>There is none.</p>`}
        ${invites.length > 0 && html`
          <${Table} caption="Open invites" heads=${["Name", "Role", { name: "Left", number: true }, "Made", "Good until", "Actions"]}>
            ${invites.map((invite) => html`
              <tr key=${invite.name}>
                <th scope="row"><code>${invite.name}</code></th>
                <td>${invite.role}</td>
                <td class="number">${count(invite.uses_left)}</td>
                <td>${moment(invite.created_at_ms)}</td>
                <td>${invite.expires_at_ms === null ? "no end" : moment(invite.expires_at_ms)}</td>
                <td class="buttons"><button class="danger plain" onClick=${() => this.revoke(invite)}>Revoke<span class="unseen"> ${invite.name}</span></button></td>
              </tr>`)}
          </${Table}>`}
      </${Panel}>`;
  }
}
