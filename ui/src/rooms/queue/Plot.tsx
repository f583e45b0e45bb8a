import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "../../parts/words";

export interface Line {
  name: string;
  /** A variable of the style sheet. */
  colour: "--goes" | "--good" | "--bad" | "--waits" | "--soft";
  values: (number | null)[];
}
interface Props {
  title: string;
  unit: string;
  /** Seconds since the epoch. */
  times: number[];
  lines: Line[];
}
const HEIGHT = 190;
const HEADS = { hour: "2-digit", minute: "2-digit", day: "2-digit", month: "short" } as const;

function drawn(box: HTMLElement, { title, times, lines }: Props): uPlot {
  const styles = getComputedStyle(box);
  const colour = (name: string) => styles.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line") },
  };
  const options: uPlot.Options = {
    width: Math.max(200, box.clientWidth),
    height: HEIGHT,
    cursor: { sync: { key: "queue" }, y: false },
    legend: { live: true },
    scales: { y: { range: (_, __, most) => [0, Math.max(1, (most ?? 1) * 1.1)] } },
    axes: [axis, { ...axis, size: 56 }],
    series: [
      { label: title },
      ...lines.map((line) => ({
        label: line.name,
        stroke: colour(line.colour),
        width: 2,
        spanGaps: false,
        points: { show: times.length < 30 || line.values.includes(null), size: 5 }, // a lone value has no line
      })),
    ],
  };
  return new uPlot(options, [times, ...lines.map((line) => line.values)], box);
}

/** Draw anew where the room, the colours of the page or the data change. */
function usePlot(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const place = box.current;
    if (!place) return;
    let plot = drawn(place, props);
    const again = () => {
      plot.destroy();
      plot = drawn(place, props);
    };
    const room = new ResizeObserver(() => plot.setSize({ width: Math.max(200, place.clientWidth), height: HEIGHT }));
    room.observe(place);
    const theme = new MutationObserver(again);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again);
    return () => {
      room.disconnect();
      theme.disconnect();
      dark.removeEventListener("change", again);
      plot.destroy();
    };
  }, [props]);
  return box;
}

/** Lines over time; beside them the same as a table. */
export default function Plot(props: Props) {
  const { title, unit, times, lines } = props;
  const box = usePlot(props);
  const last = lines.map((line) => `${line.name} ${number(line.values.at(-1))}`).join(", ");
  return (
    <figure className="queue-figure">
      <figcaption>
        {title} <span className="small">{unit}</span>
      </figcaption>
      <div
        ref={box}
        role="img"
        aria-label={`${title} over time, ${unit}. At the end: ${last}.`}
        className="queue-plot"
      />
      <details>
        <summary>{title} as a table</summary>
        <div className="scroll queue-figures-table" tabIndex={0} role="group" aria-label={`${title}, scrolling`}>
          <table>
            <thead>
              <tr>
                <th scope="col">From</th>
                {lines.map((line) => (
                  <th scope="col" key={line.name}>
                    {line.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {times.map((time, place) => (
                <tr key={time}>
                  <th scope="row">{new Date(time * 1_000).toLocaleString("en", HEADS)}</th>
                  {lines.map((line) => (
                    <td key={line.name}>{number(line.values[place])}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}
