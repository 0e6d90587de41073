"use strict";
// The page reads without this script; it adds values under the pointer, a movable window over the trades, and a theme switch.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const data = (id) => JSON.parse(document.getElementById(id).textContent);
  const number = (value, digits) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
  const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ") + " UTC";

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

  function pointer(plot, read) {
    const cross = document.createElement("div"), tip = document.createElement("div");
    cross.className = "cross"; tip.className = "tip";
    const follow = (event) => {
      const box = plot.getBoundingClientRect();
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      const found = read(share, Math.min(Math.max((event.clientY - box.top) / box.height, 0), 1));
      if (!found) { cross.remove(); tip.remove(); return; }
      tip.replaceChildren();
      for (const [label, value] of found.lines) {
        const line = document.createElement("div");
        line.textContent = label;
        if (value !== undefined) { const b = document.createElement("b"); b.textContent = value; line.append(b); }
        tip.append(line);
      }
      plot.append(cross, tip);
      cross.style.left = `${found.share * 100}%`;
      const left = found.share * box.width;
      tip.style.left = `${left > box.width / 2 ? Math.max(left - tip.offsetWidth - 12, 0) : Math.min(left + 12, box.width - tip.offsetWidth)}px`;
    };
    plot.addEventListener("pointermove", follow);
    plot.addEventListener("pointerdown", follow);
    plot.addEventListener("pointerleave", () => { cross.remove(); tip.remove(); });
  }

  for (const figure of document.querySelectorAll("[data-hover]")) {
    const { t, s, unit } = data(figure.dataset.hover);
    const first = t[0], span = t[t.length - 1] - first || 1;
    pointer(figure.querySelector(".hoverable"), (share) => {
      const at = first + share * span;
      let k = Math.round(share * (t.length - 1));
      while (k > 0 && t[k] > at) k--;
      while (k < t.length - 1 && t[k + 1] <= at) k++;
      return { share: (t[k] - first) / span, lines: [[moment(t[k])], ...s.map(([label, values]) => [label, number(values[k], 2) + unit])] };
    });
  }

  const nice = (low, high, count) => {
    const raw = (high - low) / count, magnitude = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * magnitude).find((m) => m >= raw * 0.999999);
    const ticks = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
    return [ticks, Math.max(0, Math.min(8, -Math.floor(Math.log10(step) + 1e-9)))];
  };
  const MINUTE = 60000, STEPS = [1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880, 4320, 7200, 10080].map((m) => m * MINUTE);

  for (const figure of document.querySelectorAll("[data-trades]")) {
    const d = data(figure.dataset.trades), place = data(figure.dataset.overview);
    const detail = figure.querySelector(".detail"), overview = figure.querySelector(".overview"), brush = figure.querySelector(".brush");
    const x = [], price = [];
    let level = d.base, n = 0;
    for (const [from, bars] of d.runs) for (let k = 0; k < bars; k++) { x.push(from + k); level += d.steps[n++]; price.push(level * d.tick); }
    const end = x[x.length - 1], whole = end / (1 - place.from), shift = whole - end; // in bar intervals; the overview may begin earlier
    const path = (name) => detail.querySelector(`path.${name}`);
    let [from, to] = d.window, low = 0, high = 1;
    const atX = (value) => ((value - from) / (to - from) * 1000).toFixed(1), atY = (value) => ((high - value) / (high - low) * 1000).toFixed(1);
    const below = (value) => { let a = 0, b = x.length; while (a < b) { const m = (a + b) >> 1; if (x[m] < value) a = m + 1; else b = m; } return a; };

    function draw() {
      const width = Math.min(Math.max(to - from, 30), end);
      from = Math.min(Math.max(from, 0), end - width); to = from + width;
      const a = below(from), b = below(to), shown = [];
      for (let k = 0; k < d.entry.length; k++) if (d.exit[k] >= from && d.entry[k] <= to) shown.push(k);
      low = Infinity; high = -Infinity;
      for (let k = a; k < b; k++) { low = Math.min(low, price[k]); high = Math.max(high, price[k]); }
      for (const k of shown) { low = Math.min(low, d.entryPrice[k], d.exitPrice[k]); high = Math.max(high, d.entryPrice[k], d.exitPrice[k]); }
      const pad = (high - low || high * 0.001) * 0.06; low -= pad; high += pad;
      const each = Math.max(1, Math.floor((b - a) / 1000));
      let line = "", last = -Infinity;
      for (let k = a; k < b; k += each) {
        let p = k, q = k;
        for (let j = k; j < Math.min(k + each, b); j++) { if (price[j] < price[p]) p = j; if (price[j] > price[q]) q = j; }
        for (const j of p < q ? [p, q] : p > q ? [q, p] : [p]) { line += (x[j] - last > each + 1 ? "M" : "L") + atX(x[j]) + " " + atY(price[j]); last = x[j]; }
      }
      path("price").setAttribute("d", line);
      for (const [name, side] of [["long", 1], ["short", -1]]) {
        let ways = "", dots = "";
        for (const k of shown) if (d.side[k] === side) {
          const entry = `M${atX(d.entry[k])} ${atY(d.entryPrice[k])}`;
          ways += `${entry}L${atX(d.exit[k])} ${atY(d.exitPrice[k])}`; dots += `${entry}h0`;
        }
        path(`l.${name}`).setAttribute("d", ways); path(`d.${name}`).setAttribute("d", dots);
      }
      path("exit").setAttribute("d", shown.map((k) => `M${atX(d.exit[k])} ${atY(d.exitPrice[k])}h0`).join(""));
      const [levels, digits] = nice(low, high, 5);
      path("grid").setAttribute("d", levels.map((value) => `M0 ${atY(value)}H1000`).join(""));
      detail.querySelectorAll("span").forEach((label) => label.remove());
      const label = (css, side, at, text) => {
        const span = document.createElement("span");
        span.className = css; span.style[side] = `${at / 10}%`; span.textContent = text; detail.append(span);
      };
      for (const value of levels) label("y", "top", atY(value), number(value, digits));
      const count = detail.clientWidth < 420 ? 3 : 6, step = STEPS.find((s) => (to - from) * d.step / s <= count) || STEPS[STEPS.length - 1];
      for (let at = Math.ceil((d.start + from * d.step) / step) * step; at <= d.start + to * d.step; at += step) {
        const day = new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
        label("x", "left", atX((at - d.start) / d.step), at % 86400000 ? new Date(at).toISOString().slice(11, 16) : day);
      }
      brush.style.left = `${(from + shift) / whole * 100}%`; brush.style.width = `${(to - from) / whole * 100}%`;
      figure.querySelector("[data-shown]").textContent = `${shown.length} of ${d.entry.length} trades shown`;
    }

    const move = (share) => { const width = to - from; from = share * whole - shift - width / 2; to = from + width; draw(); };
    const zoom = (factor) => { const middle = (from + to) / 2, half = (to - from) / 2 * factor; from = middle - half; to = middle + half; draw(); };
    const drag = (event) => { const box = overview.getBoundingClientRect(); move((event.clientX - box.left) / box.width); };
    overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); drag(event); });
    overview.addEventListener("pointermove", (event) => { if (overview.hasPointerCapture(event.pointerId)) drag(event); });
    const actions = {
      back: () => { const step = (to - from) * 0.6; from -= step; to -= step; draw(); },
      on: () => { const step = (to - from) * 0.6; from += step; to += step; draw(); },
      closer: () => zoom(0.5), wider: () => zoom(2), all: () => { from = 0; to = end; draw(); },
    };
    for (const button of figure.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);

    pointer(detail, (share, down) => {
      const at = from + share * (to - from), aim = high - down * (high - low);
      let best = -1, distance = 0.04;
      for (let k = 0; k < d.entry.length; k++) for (const [ax, ay] of [[d.entry[k], d.entryPrice[k]], [d.exit[k], d.exitPrice[k]]]) {
        const far = Math.hypot((ax - at) / (to - from), (ay - aim) / (high - low) * 0.4);
        if (far < distance) { distance = far; best = k; }
      }
      if (best < 0) {
        const k = Math.min(below(at), x.length - 1);
        return { share: (x[k] - from) / (to - from), lines: [[moment(d.start + x[k] * d.step)], ["close", number(price[k], 2)]] };
      }
      const k = best;
      return { share, lines: [
        [d.side[k] > 0 ? "Long" : "Short", `${number(d.bps[k], 1)} bps net`],
        ["in", `${moment(d.start + d.entry[k] * d.step)} at ${d.entryPrice[k].toLocaleString("en", { maximumFractionDigits: 8 })}`],
        ["out", `${moment(d.start + d.exit[k] * d.step)} at ${d.exitPrice[k].toLocaleString("en", { maximumFractionDigits: 8 })}`],
        ["why", d.reasons[d.reason[k]]],
      ] };
    });
    draw();
    addEventListener("resize", draw);
  }
})();
