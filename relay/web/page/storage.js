// What lies on the disk, what is kept how long, and what an operator holds back from going.

import { Component } from "./preact.mjs";
import { count, day, duration, size } from "./format.js";
import { Figures } from "./overview.js";
import { Figure, Panel, Question, Table, html } from "./parts.js";
import { ask } from "./relay.js";

const short = (account) => html`<code title=${account}>${account.slice(0, 12)}…</code>`;

export class Storage extends Component {
  state = { kinds: null, figures: null };

  componentDidMount() {
    this.props.doing(async () => this.setState({ kinds: (await ask("retention.show")).kinds }));
    if (this.props.may("read_figures")) {
      this.props.doing(async () => this.setState({ figures: new Figures(await ask("figures.now")) }));
    }
  }

  render({ may, doing, say }, { kinds, figures }) {
    const figure = (name, key, format) => html`
      <${Figure} name=${name} figure=${key} value=${figures.value(key)} shown=${format(figures.value(key))} />`;
    return html`
      ${figures && html`
        <dl class="figures">
          ${figure("Database", "database_bytes", size)}
          ${figure("Write-ahead log", "database_log_bytes", size)}
          ${figure("Waiting envelopes", "waiting_envelopes", count)}
          ${figure("Free disk", "disk_free_bytes", size)}
          ${figure("Disk", "disk_bytes", size)}
        </dl>`}
      ${kinds && html`
        <${Panel} title="What is kept how long" note="An envelope goes when its device has acknowledged it, or when its time is over. Times are changed in the configuration.">
          <${Table} caption="What is kept how long" heads=${["Kind", "For", "What it is", "Setting", "A hold keeps it"]}>
            ${kinds.map((kind) => html`
              <tr key=${kind.kind}>
                <th scope="row">${kind.kind}</th>
                <td>${kind.seconds === null ? "until it is removed" : duration(kind.seconds)}</td>
                <td class="wide">${kind.told}</td>
                <td>${kind.setting ? html`<code>${kind.setting}</code>` : "fixed"}</td>
                <td>${kind.held ? "yes" : "no"}</td>
              </tr>`)}
          </${Table}>
        </${Panel}>`}
      ${may("manage_retention") && html`<${Holds} doing=${doing} say=${say} />`}`;
  }
}

class Holds extends Component {
  state = { holds: null, account: "", reason: "", days: "30", question: null };

  componentDidMount() {
    this.props.doing(() => this.load());
  }

  async load() {
    this.setState({ holds: (await ask("retention.holds")).holds });
  }

  hold() {
    const { account, reason, days } = this.state;
    return this.props.doing(async () => {
      const told = await ask("retention.hold", { account, reason, days: Number(days) });
      this.setState({ account: "", reason: "" });
      this.props.say(`What there is about ${account} is held until ${day(told.until_ms)}.`);
      await this.load();
    });
  }

  release(hold) {
    return this.props.doing(async () => {
      await ask("retention.release", { account: hold.account });
      this.setState({ question: null });
      this.props.say("The hold is released.");
      await this.load();
    });
  }

  render(_, { holds, account, reason, days, question }) {
    const set = (name) => (event) => this.setState({ [name]: event.target.value });
    return html`
      <${Panel} title="Holds" note="What there is about an account does not go by its age, nor with the account. The relay cannot read it; whoever has the account finds the hold in its export.">
        <form class="filters" onSubmit=${(event) => { event.preventDefault(); this.hold(); }}>
          <label>Account <input required value=${account} onInput=${set("account")} autocapitalize="off" autocomplete="off" spellcheck=${false} /></label>
          <label>Reason, one word <input required maxlength="64" value=${reason} onInput=${set("reason")} autocapitalize="off" /></label>
          <label>Days <input type="number" min="1" required value=${days} onInput=${set("days")} /></label>
          <button type="submit">Hold</button>
        </form>
        ${holds && !holds.length && html`<p>There is none.</p>`}
        ${holds?.length > 0 && html`
          <${Table} caption="Holds" heads=${["Account", "Reason", "Since", "Until", { name: "Kept envelopes", number: true }, "State", "Actions"]}>
            ${holds.map((hold) => html`
              <tr key=${hold.account}>
                <th scope="row">${short(hold.account)}</th>
                <td>${hold.reason}</td>
                <td>${day(hold.made_at_ms)}</td>
                <td>${day(hold.until_ms)}</td>
                <td class="number">${count(hold.envelopes)}<small>${size(hold.envelope_bytes)}</small></td>
                <td>${hold.is_deleted ? "deleted, and kept" : "in use"}</td>
                <td class="buttons"><button class="danger plain" onClick=${() => this.setState({ question: hold })}>Release<span class="unseen"> ${hold.account.slice(0, 12)}</span></button></td>
              </tr>`)}
          </${Table}>`}
      </${Panel}>
      ${question && html`<${Question} title="Release this hold?" action="Release"
        text=${question.is_deleted ? "The account is deleted: all that was kept of it goes now." : "What is past its time goes with the next clearing."}
        done=${() => this.release(question)} left=${() => this.setState({ question: null })} />`}`;
  }
}
