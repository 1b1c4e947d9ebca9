// Limits: the settings in effect. They are changed in the configuration, not here.

import { Component } from "./preact.mjs";
import { count, duration, size } from "./format.js";
import { Panel, Table, html } from "./parts.js";
import { ask } from "./relay.js";

function shown({ name, value }) {
  if (value === null) return "not set";
  if (typeof value === "number" && name.endsWith("_bytes")) return `${count(value)} (${size(value)})`;
  if (typeof value === "number" && name.endsWith("_seconds")) return `${count(value)} (${duration(value)})`;
  if (typeof value === "number") return value.toLocaleString("en");
  return Array.isArray(value) ? value.join(", ") || "none" : String(value);
}

const Settings = ({ caption, settings }) => html`
  <${Table} caption=${caption} heads=${["Setting", "In effect", "Meaning", "Changes"]}>
    ${settings.map((setting) => html`
      <tr key=${setting.name}>
        <th scope="row"><code>${setting.name}</code></th>
        <td>${shown(setting)}</td>
        <td class="wide">${setting.description}</td>
        <td>${setting.reload ? "by SIGHUP" : "by a restart"}</td>
      </tr>`)}
  </${Table}>`;

export class Limits extends Component {
  state = { settings: null, sought: "" };

  componentDidMount() {
    this.props.doing(async () => this.setState({ settings: (await ask("settings.show")).settings }));
  }

  render(_, { settings, sought }) {
    if (!settings) return html`<p class="waiting">Asking the relay …</p>`;
    const fits = settings.filter(({ name, description }) => `${name} ${description}`.toLowerCase().includes(sought.toLowerCase()));
    const groups = [["Quotas and times", "limits."], ["Rates", "rates."]];
    const rest = fits.filter(({ name }) => !groups.some(([, begins]) => name.startsWith(begins)));
    return html`
      <form class="filters" onSubmit=${(event) => event.preventDefault()}>
        <label>Find <input type="search" value=${sought} onInput=${(event) => this.setState({ sought: event.target.value })} /></label>
      </form>
      ${groups.map(([title, begins]) => {
        const own = fits.filter(({ name }) => name.startsWith(begins));
        return own.length > 0 && html`<${Panel} title=${title}><${Settings} caption=${title} settings=${own} /></${Panel}>`;
      })}
      ${rest.length > 0 && html`<${Panel} title="Other settings"><${Settings} caption="Other settings" settings=${rest} /></${Panel}>`}
      ${!fits.length && html`<p>There is no such setting.</p>`}`;
  }
}
