// A chart of the last hour. What it shows is also said in words, for who does not see it.

import { Component } from "./preact.mjs";
import uPlot from "./uPlot.esm.js";
import { html } from "./parts.js";

const HEIGHT = 150;
const DASHES = [[], [6, 4]];
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Of the values of some lines: what the newest are, for a screen reader. */
function spoken(title, lines, format) {
  const parts = lines.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    return known.length ? `${name} now ${format(known.at(-1))}, at most ${format(Math.max(...known))}` : `${name}: nothing yet`;
  });
  return `${title}, the last hour: ${parts.join("; ")}`;
}

export class Chart extends Component {
  componentDidMount() {
    this.observer = new ResizeObserver(() => this.plot?.setSize({ width: this.box.clientWidth, height: HEIGHT }));
    this.observer.observe(this.box);
    this.draw();
  }

  componentDidUpdate(before) {
    if (!this.plot || before.theme !== this.props.theme) this.draw();
    else this.plot.setData(this.data());
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  data() {
    return [this.props.at.map((ms) => ms / 1000), ...this.props.lines.map((line) => line.values)];
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    if (this.props.at.length < 2) return; // a line has two ends; and without any uPlot would never find its scales
    const { lines, format, whole } = this.props;
    const text = colour("--muted");
    const grid = { stroke: colour("--line"), width: 1 };
    const ticks = { show: false };
    const font = "12px system-ui, sans-serif";
    this.plot = new uPlot(
      {
        width: this.box.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [
          { stroke: text, grid: { show: false }, ticks, font, size: 30, space: 70, values: "{HH}:{mm}" },
          { stroke: text, grid, ticks, font, size: 64, space: 36, incrs: whole ? WHOLE : undefined, values: (_, marks) => marks.map(format) },
        ],
        series: [
          {},
          ...lines.map((line, index) => ({
            label: line.name,
            stroke: colour(`--line-${index + 1}`),
            dash: DASHES[index],
            width: 2,
            points: { size: 4, fill: colour(`--line-${index + 1}`) },
          })),
        ],
      },
      this.data(),
      this.box,
    );
  }

  render({ title, lines, format }) {
    return html`
      <figure class="chart">
        <figcaption>
          <h3>${title}</h3>
          ${lines.length > 1 && html`<ul class="legend">${lines.map((line, index) => html`<li class=${`key-${index + 1}`}>${line.name}</li>`)}</ul>`}
        </figcaption>
        <div role="img" aria-label=${spoken(title, lines, format)} ref=${(element) => (this.box = element)}></div>
      </figure>`;
  }
}
