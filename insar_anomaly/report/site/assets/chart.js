// Charts over time as SVG: bands, spans, points, a line; zoom by drag, buttons and keys; hover and arrow keys read out.
'use strict';
const Chart = (function () {
  const NS = 'http://www.w3.org/2000/svg';
  const DAY = 86400000;
  const PAD = { left: 46, right: 10, top: 22, bottom: 24 };

  function el(parent, name, attributes, text) {
    const one = document.createElementNS(NS, name);
    for (const key in attributes) one.setAttribute(key, attributes[key]);
    if (text !== undefined) one.textContent = text;
    parent.appendChild(one);
    return one;
  }
  function day(ms) { return new Date(ms).toISOString().slice(0, 10); }
  function steps(low, high, most) {
    const rough = (high - low) / most || 1;
    const power = Math.pow(10, Math.floor(Math.log10(rough)));
    const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough);
    const out = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) out.push(value);
    return out;
  }
  // values for an axis that is linear around zero and logarithmic far from it
  function decades(low, high, apart) {
    const out = [];
    const add = (value) => { if (value >= low && value <= high && out.every((one) => apart(one, value))) out.push(value); };
    add(0);
    for (let power = -2; power < 7; power++) for (const k of [1, 2, 5]) for (const sign of [1, -1]) add(sign * k * Math.pow(10, power));
    return out;
  }
  function months(from, to, most) {
    const count = (to - from) / (DAY * 30.4);
    const step = [1, 2, 3, 6, 12, 24, 60].find((k) => count / k <= most) || 120;
    const out = [];
    const at = new Date(from);
    const month = at.getUTCFullYear() * 12 + at.getUTCMonth();
    for (let k = Math.ceil(month / step) * step; ; k += step) {
      const ms = Date.UTC(Math.floor(k / 12), k % 12, 1);
      if (ms > to) return out;
      if (ms >= from) out.push([ms, step >= 12 ? String(Math.floor(k / 12)) : day(ms).slice(0, 7)]);
    }
  }

  // shown: {name, y, height, points: [{x, y, words, over}], line, lines: [[{x, y}]], edges: [{y, told, words}],
  //         spans: [{from, to, words, kind}], ticks: [{x, words}], zero, onPick}
  function draw(place, shown) {
    const points = shown.points.filter((one) => one.y !== null && isFinite(one.y)).sort((a, b) => a.x - b.x);
    place.textContent = '';
    place.setAttribute('role', 'group');
    place.setAttribute('aria-label', shown.name + '. Left and right arrow keys move through the points, plus and minus zoom, 0 shows all.');
    place.tabIndex = 0;
    const svg = el(place, 'svg', { 'aria-hidden': 'true', focusable: 'false' });
    const said = document.createElement('p');
    said.className = 'readout';
    said.setAttribute('aria-live', 'polite');
    if (points.length === 0) {
      said.textContent = shown.none || 'Nothing was assessed yet.';
      svg.remove();
      place.appendChild(said);
      return null;
    }
    const ends = [points[0].x, points[points.length - 1].x];
    for (const span of shown.spans || []) { ends[0] = Math.min(ends[0], span.from); ends[1] = Math.max(ends[1], span.to); }
    const room = Math.max(6 * DAY, (ends[1] - ends[0]) * 0.02);
    const all = [ends[0] - room, ends[1] + room];
    let view = all.slice();
    let chosen = -1;

    const tools = document.createElement('div');
    tools.className = 'tools';
    tools.setAttribute('role', 'group');
    tools.setAttribute('aria-label', 'Zoom of ' + shown.name);
    for (const [words, label, act] of [['+', 'Zoom in', () => zoom(0.5)], ['−', 'Zoom out', () => zoom(2)], ['all', 'Show all', () => { view = all.slice(); paint(); }]]) {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = words;
      button.setAttribute('aria-label', label);
      button.addEventListener('click', act);
      tools.appendChild(button);
    }
    place.appendChild(said);
    place.appendChild(tools);

    let x, y, left, width, height;
    function zoom(by) {
      const middle = chosen >= 0 ? points[chosen].x : (view[0] + view[1]) / 2;
      const half = Math.min((view[1] - view[0]) * by, all[1] - all[0]) / 2;
      const from = Math.max(all[0], Math.min(middle - half, all[1] - 2 * half));
      view = [from, from + 2 * half];
      paint();
    }
    function scales() {
      const values = points.filter((one) => one.x >= view[0] && one.x <= view[1]).map((one) => one.y);
      for (const line of shown.lines || []) for (const one of line) if (one.y !== null) values.push(one.y);
      for (const edge of shown.edges || []) values.push(edge.y);
      if (shown.zero) values.push(0);
      let low = Math.min(...values);
      let high = Math.max(...values);
      const margin = (high - low || Math.abs(high) || 1) * 0.08;
      if (!(shown.floor && low >= 0)) low -= margin; else low = 0;
      high += margin;
      const bend = shown.bend && high > 4 * shown.bend ? shown.bend : 0;
      const f = bend ? (value) => Math.asinh(value / bend) : (value) => value;
      if (bend) low = Math.min(low + margin, 0) - bend / 4;
      x = (ms) => left + (ms - view[0]) / (view[1] - view[0]) * (width - left - PAD.right);
      y = (value) => height - PAD.bottom - (f(value) - f(low)) / (f(high) - f(low)) * (height - PAD.bottom - PAD.top);
      return [low, high, bend ? decades(low, high, (a, b) => Math.abs(y(a) - y(b)) > 20) : steps(low, high, 5)];
    }
    function band(name, from, to) {
      const top = Math.max(PAD.top, y(to));
      const bottom = Math.min(height - PAD.bottom, y(from));
      if (bottom > top) el(svg, 'rect', { class: name, x: left, y: top, width: width - PAD.right - left, height: bottom - top });
    }
    function paint() {
      width = Math.max(260, place.clientWidth || 600);
      height = shown.height || Math.max(180, Math.min(260, width * 0.42));
      left = PAD.left;
      svg.textContent = '';
      svg.setAttribute('viewBox', '0 0 ' + width + ' ' + height);
      const [low, high, values] = scales();
      const edges = shown.edges || [];
      if (shown.bands && edges.length) {
        const last = edges[edges.length - 1];
        if (edges.length > 1) band('noted-band', edges[0].y, last.y);
        band('told-band', last.y, high);
      }
      for (const value of values) {
        if (y(value) < PAD.top - 1 || y(value) > height - PAD.bottom + 1) continue;
        el(svg, 'line', { class: 'grid', x1: left, x2: width - PAD.right, y1: y(value), y2: y(value) });
        el(svg, 'text', { x: left - 5, y: y(value) + 4, 'text-anchor': 'end' }, String(Number(value.toPrecision(6))));
      }
      for (const [ms, words] of months(view[0], view[1], Math.max(2, (width - left) / 75))) {
        el(svg, 'line', { class: 'grid', x1: x(ms), x2: x(ms), y1: PAD.top, y2: height - PAD.bottom });
        el(svg, 'text', { x: x(ms), y: height - 8, 'text-anchor': 'middle' }, words);
      }
      el(svg, 'text', { x: 2, y: 11 }, shown.y);
      for (const edge of edges) {
        el(svg, 'line', { class: 'edge' + (edge.told ? ' told' : ''), x1: left, x2: width - PAD.right, y1: y(edge.y), y2: y(edge.y) });
      }
      for (const span of shown.spans || []) {
        if (span.to < view[0] || span.from > view[1]) continue;
        const from = Math.max(left, x(span.from));
        const to = Math.min(width - PAD.right, x(span.to));
        el(el(svg, 'rect', { class: 'span ' + span.kind, x: from, y: PAD.top - 6, width: Math.max(3, to - from), height: 5 }), 'title', {}, span.words);
        el(svg, 'text', { x: Math.min(from, width - PAD.right - 60), y: PAD.top - 9 }, span.short);
      }
      for (const tick of shown.ticks || []) {
        if (tick.x < view[0] || tick.x > view[1]) continue;
        el(el(svg, 'line', { class: 'ack', x1: x(tick.x), x2: x(tick.x), y1: PAD.top, y2: PAD.top + 14 }), 'title', {}, tick.words);
      }
      const lines = [shown.line ? points : [], ...(shown.lines || [])];
      lines.forEach((line, number) => {
        const inside = line.filter((one) => one.y !== null && one.x >= view[0] - 400 * DAY && one.x <= view[1] + 400 * DAY);
        const path = inside.map((one, k) => (k ? 'L' : 'M') + x(one.x).toFixed(1) + ' ' + y(one.y).toFixed(1)).join('');
        if (path) el(svg, 'path', { class: 'line' + (number ? ' two' : ''), d: path, 'clip-path': '' });
      });
      points.forEach((one, k) => {
        if (one.x < view[0] || one.x > view[1]) return;
        el(svg, 'circle', { class: 'p' + (one.over ? ' over' : '') + (k === chosen ? ' on' : ''), cx: x(one.x).toFixed(1), cy: y(one.y).toFixed(1), r: one.over ? 4.2 : 3, 'data-k': k });
      });
      if (chosen >= 0) el(svg, 'line', { class: 'cursor', x1: x(points[chosen].x), x2: x(points[chosen].x), y1: PAD.top, y2: height - PAD.bottom });
    }
    function choose(k, quiet) {
      chosen = Math.max(0, Math.min(points.length - 1, k));
      said.textContent = points[chosen].words;
      const one = points[chosen];
      if (one.x < view[0] || one.x > view[1]) {
        const half = (view[1] - view[0]) / 2;
        view = [one.x - half, one.x + half];
      }
      paint();
      if (!quiet && shown.onPick) shown.onPick(one);
    }
    function at(event) {
      const box = svg.getBoundingClientRect();
      const px = (event.clientX - box.left) * width / box.width;
      const ms = view[0] + (px - left) / (width - left - PAD.right) * (view[1] - view[0]);
      const py = (event.clientY - box.top) * height / box.height;
      let best = -1;
      let least = Infinity;
      points.forEach((one, k) => {
        if (one.x < view[0] || one.x > view[1]) return;
        const far = Math.abs(x(one.x) - px) + 0.15 * Math.abs(y(one.y) - py);
        if (far < least) { least = far; best = k; }
      });
      return [ms, best];
    }
    let start = null;
    svg.addEventListener('pointermove', (event) => {
      const [ms, best] = at(event);
      if (start !== null && event.buttons & 1) {
        paint();
        el(svg, 'rect', { class: 'pick', x: Math.min(x(start), x(ms)), width: Math.abs(x(ms) - x(start)), y: PAD.top, height: height - PAD.top - PAD.bottom });
        return;
      }
      if (best >= 0 && best !== chosen) choose(best, true);
    });
    svg.addEventListener('pointerdown', (event) => { if (event.pointerType === 'mouse') start = at(event)[0]; });
    svg.addEventListener('pointerup', (event) => {
      const [ms, best] = at(event);
      const from = start;
      start = null;
      if (from !== null && Math.abs(x(ms) - x(from)) > 12) {
        view = [Math.max(all[0], Math.min(from, ms)), Math.min(all[1], Math.max(from, ms))];
        paint();
      } else if (best >= 0) {
        choose(best);
      }
    });
    svg.addEventListener('dblclick', () => { view = all.slice(); paint(); });
    place.addEventListener('keydown', (event) => {
      if (event.target !== place) return;
      const move = { ArrowRight: 1, ArrowLeft: -1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
      if (move) choose(chosen < 0 ? (move < 0 && move > -1e8 ? points.length - 1 : move > 1e8 ? points.length - 1 : 0) : chosen + move);
      else if (event.key === '+' || event.key === '=') zoom(0.5);
      else if (event.key === '-') zoom(2);
      else if (event.key === '0') { view = all.slice(); paint(); }
      else return;
      event.preventDefault();
    });
    new ResizeObserver(() => { if (Math.abs((place.clientWidth || 0) - width) > 4) paint(); }).observe(place);
    paint();
    return { choose: (test) => { const k = points.findIndex(test); if (k >= 0) choose(k, true); } };
  }
  return { draw };
})();
