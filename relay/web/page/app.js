// The page: who is logged in, which view is open, and what is to be said to the person.

import { Component, render } from "./preact.mjs";
import { Accounts } from "./accounts.js";
import { Audit } from "./audit.js";
import { Invites } from "./invites.js";
import { Overview } from "./overview.js";
import { html } from "./parts.js";
import { Refused, logIn, logOut, session } from "./relay.js";
import { Limits } from "./settings.js";
import { Storage } from "./storage.js";

/** path → title, the right that it takes, the view. */
const VIEWS = {
  overview: ["Overview", "read_figures", Overview],
  accounts: ["Accounts", "list_accounts", Accounts],
  invites: ["Invites", "manage_invites", Invites],
  limits: ["Limits", "read_settings", Limits],
  audit: ["Audit", "read_audit", Audit],
  storage: ["Storage", "read_settings", Storage],
};
const THEMES = ["system", "light", "dark"];
const SAID_SECONDS = 6;

class App extends Component {
  state = { who: undefined, view: "", said: null, error: null, theme: localStorage.getItem("tokenim-theme") ?? "system" };

  async componentDidMount() {
    this.applyTheme(this.state.theme);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.forceUpdate());
    addEventListener("hashchange", () => this.begin());
    await this.begin();
  }

  /** Log in if the address says by what; then the view that it names. */
  async begin() {
    const secret = /^#login=([A-Za-z0-9_-]{43})$/.exec(location.hash)?.[1];
    let { who, error } = this.state;
    try {
      if (secret) {
        history.replaceState(null, "", "/"); // it is spent now: not to be found in the history
        [who, error] = [await logIn(secret), null];
      } else if (who === undefined) {
        who = await session();
      }
    } catch (refused) {
      [who, error] = [who ?? null, refused];
    }
    this.setState({ who, error }, () => this.open());
  }

  may = (right) => this.state.who?.rights.includes(right) ?? false;

  views = () => Object.entries(VIEWS).filter(([, [, right]]) => this.may(right));

  open() {
    const named = location.hash.replace(/^#\/?/, "");
    const open = this.views().map(([path]) => path);
    const view = open.includes(named) ? named : (open[0] ?? "");
    const changed = view !== this.state.view && this.state.view !== "";
    this.setState({ view, error: changed ? null : this.state.error, said: null }, () => {
      document.title = view ? `${VIEWS[view][0]} · TokenIM relay` : "TokenIM relay";
      if (changed) this.heading?.focus();
    });
  }

  /** Something that may be refused: said to the person, and nobody has to catch it. */
  doing = async (work) => {
    try {
      await work();
      this.setState({ error: null });
    } catch (error) {
      this.told(error);
    }
  };

  told = (error) => {
    if (error && !(error instanceof Refused)) console.error(error);
    if (error?.loggedOut) this.setState({ who: null, error });
    else if (error !== this.state.error) this.setState({ error });
  };

  say = (text) => {
    clearTimeout(this.timer);
    this.setState({ said: text });
    this.timer = setTimeout(() => this.setState({ said: null }), SAID_SECONDS * 1000);
  };

  leave = () => this.doing(async () => {
    await logOut();
    this.setState({ who: null });
  });

  applyTheme(theme) {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("tokenim-theme", theme);
  }

  theme() {
    const { theme } = this.state;
    return theme === "system" ? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light") : theme;
  }

  render(_, { who, view, said, error, theme }) {
    if (who === undefined) return html`<main class="door"><p class="waiting">One moment …</p></main>`;
    const failed = error && html`<p class="alarm" role="alert">${error.message}</p>`;
    if (who === null) return html`<${Door} failed=${failed} />`;
    const [title, , View] = VIEWS[view] ?? ["Nothing to see", "", NoRight];
    return html`
      <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); this.heading.focus(); }}>To the content</a>
      <header>
        <p class="name"><img src="/page/icon.svg" alt="" width="24" height="24" /> TokenIM relay</p>
        <p class="origin" title="The origin that clients know">${who.origin}</p>
        <div class="tools">
          <label><span class="unseen">Colours</span>
            <select value=${theme} onChange=${(event) => { this.applyTheme(event.target.value); this.setState({ theme: event.target.value }); }}>
              ${THEMES.map((one) => html`<option value=${one} selected=${one === theme}>${one}</option>`)}
            </select>
          </label>
          <button class="plain" onClick=${this.leave}>Log out</button>
        </div>
      </header>
      <nav aria-label="Views"><ul>
        ${this.views().map(([path, [name]]) => html`<li><a href=${`#/${path}`} aria-current=${path === view ? "page" : undefined}>${name}</a></li>`)}
      </ul></nav>
      <main id="main">
        <h1 tabindex="-1" ref=${(element) => (this.heading = element)}>${title}</h1>
        ${failed}
        <${View} key=${view} theme=${this.theme()} may=${this.may} roles=${who.roles} doing=${this.doing} told=${this.told} say=${this.say} />
      </main>
      <p class=${`said ${said ? "shown" : ""}`} role="status">${said}</p>
      <footer>Version ${who.version}. ${who.account ? html`Logged in as <code>${who.account.slice(0, 12)}…</code>.` : "Logged in from the command line."}</footer>`;
  }
}

const Door = ({ failed }) => html`
  <main class="door">
    <img src="/page/icon.svg" alt="" width="48" height="48" />
    <h1>TokenIM relay</h1>
    ${failed}
    <p>Nobody is logged in. On the machine of the relay, this prints a link that logs one browser in:</p>
    <pre><code>tokenim-relay dashboard link</code></pre>
  </main>`;

const NoRight = () => html`<p>Your role sees nothing here. An owner or an admin of the relay can give you another one.</p>`;

render(html`<${App} />`, document.getElementById("app"));
