// The front page: the table sorts and filters, the map zooms, moves and follows the filter.
'use strict';
(function () {
  const table = document.getElementById('table');
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const map = document.getElementById('map');
  const markers = new Map(Array.from(map.querySelectorAll('.m'), (one) => [one.dataset.gvp, one]));
  const said = document.getElementById('map-said');

  // --- table
  const words = new Intl.Collator(undefined, { numeric: true });
  function value(row, column) {
    const cell = row.cells[column];
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.textContent.trim().toLowerCase();
  }
  function sort(head) {
    const first = head.dataset.key === 'period' || head.dataset.key === 'ratio' || head.dataset.key === 'flags';
    const before = head.getAttribute('aria-sort');
    const up = before ? before === 'descending' : !first;
    for (const one of head.parentNode.cells) one.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const column = head.cellIndex;
    const keyed = rows.map((row) => [value(row, column), row]);
    keyed.sort(([a], [b]) => (typeof a === 'string' ? words.compare(a, b) : a - b) * (up ? 1 : -1));
    body.append(...keyed.map((one) => one[1]));
  }
  for (const head of table.tHead.rows[0].cells) head.querySelector('button').addEventListener('click', () => sort(head));

  // --- filter
  const search = document.getElementById('search');
  const boxes = Array.from(document.querySelectorAll('#marks input'));
  function filter() {
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const marks = new Set(boxes.filter((one) => one.checked).map((one) => one.value));
    let shown = 0;
    for (const row of rows) {
      const fits = marks.has(row.dataset.mark) && words.every((word) => row.dataset.words.includes(word));
      row.hidden = !fits;
      markers.get(row.dataset.gvp).classList.toggle('off', !fits);
      markers.get(row.dataset.gvp).style.display = fits ? '' : 'none';
      shown += fits;
    }
    document.getElementById('count').textContent = shown === rows.length ? shown + ' shown' : shown + ' of ' + rows.length + ' shown';
    document.getElementById('none').hidden = shown > 0;
  }
  search.addEventListener('input', filter);
  for (const one of boxes) one.addEventListener('change', filter);

  // --- map
  const fit = map.dataset.fit.split(' ').map(Number);
  let view = fit.slice();
  function show(next) {
    const wide = Math.min(Math.max(next[2], 0.5), 360);
    const high = wide * fit[3] / fit[2];
    view = [Math.min(Math.max(next[0], -20), 380 - wide), Math.min(Math.max(next[1], -20), 200 - high), wide, high];
    map.setAttribute('viewBox', view.join(' '));
    const box = map.getBoundingClientRect();
    const perPixel = Math.max(wide / (box.width || 1), high / (box.height || 1));
    // markers are as large as their number lets them be
    const size = rows.length > 300 && wide > 120 ? Math.min(6, Math.max(2.2, box.width / 200)) : 7;
    map.style.setProperty('--k', String(perPixel * size));
    name(perPixel);
  }
  // names stand where they cover no other marker and no name of a more urgent one
  const labelled = Array.from(map.querySelectorAll('.m text')).reverse();
  function name(perPixel) {
    const taken = labelled.map((one) => at(one.closest('.m')).map((value) => value / perPixel)).map(([x, y]) => [x - 7, x + 7, y - 7, y + 7]);
    labelled.forEach((one) => {
      const [x, y] = at(one.closest('.m')).map((value) => value / perPixel);
      const box = [x + 8, x + 14 + one.textContent.length * 6.6, y - 7, y + 7];
      const free = taken.every(([a, b, c, d]) => box[1] < a || box[0] > b || box[3] < c || box[2] > d);
      one.style.display = free ? '' : 'none';
      if (free) taken.push(box);
    });
  }
  function zoom(by, at) {
    const [x, y] = at || [view[0] + view[2] / 2, view[1] + view[3] / 2];
    show([x - (x - view[0]) * by, y - (y - view[1]) * by, view[2] * by]);
  }
  function point(event) {
    const matrix = map.getScreenCTM().inverse();
    const found = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return [found.x, found.y];
  }
  map.classList.add('live');
  show(view);
  addEventListener('resize', () => show(view));
  const steps = { in: () => zoom(1 / 1.6), out: () => zoom(1.6), fit: () => show(fit), world: () => show([0, 8, 360]) };
  for (const one of document.querySelectorAll('[data-zoom]')) one.addEventListener('click', steps[one.dataset.zoom]);
  map.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls as everywhere
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, point(event));
  }, { passive: false });
  map.addEventListener('dblclick', (event) => { event.preventDefault(); zoom(0.5, point(event)); });
  let from = null;
  let moved = false;
  map.addEventListener('pointerdown', (event) => { from = point(event); moved = false; });
  addEventListener('pointermove', (event) => {
    if (!from || !(event.buttons & 1)) { from = null; return; }
    const now = point(event);
    if (Math.hypot(now[0] - from[0], now[1] - from[1]) > view[2] / 200) moved = true;
    if (moved) show([view[0] + from[0] - now[0], view[1] + from[1] - now[1], view[2]]);
  });
  addEventListener('pointerup', () => { from = null; });
  map.addEventListener('click', (event) => { if (moved) event.preventDefault(); }, true);
  map.addEventListener('dragstart', (event) => event.preventDefault());

  // --- map and table speak of the same volcano
  function tell(marker) {
    for (const one of document.querySelectorAll('.on')) one.classList.remove('on');
    if (!marker) return;
    marker.classList.add('on');
    const row = rows.find((one) => one.dataset.gvp === marker.dataset.gvp);
    if (row) row.classList.add('on');
    said.textContent = marker.querySelector('title').textContent;
  }
  map.addEventListener('pointerover', (event) => { const one = event.target.closest('.m'); if (one) tell(one); });
  map.addEventListener('focusin', (event) => { const one = event.target.closest('.m'); if (one) tell(one); });
  body.addEventListener('pointerover', (event) => { const row = event.target.closest('tr'); if (row) tell(markers.get(row.dataset.gvp)); });
  function at(marker) {
    const found = marker.transform.baseVal.consolidate().matrix;
    return [found.e, found.f];
  }
  const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener('keydown', (event) => {
    if (event.key === '+' || event.key === '=') zoom(1 / 1.6);
    if (event.key === '-') zoom(1.6);
    const way = ways[event.key];
    const here = document.activeElement.closest('.m');
    if (!way || !here) return;
    event.preventDefault();
    const [x, y] = at(here);
    let best = null;
    let least = Infinity;
    for (const one of markers.values()) {
      if (one === here || one.classList.contains('off')) continue;
      const [dx, dy] = [at(one)[0] - x, at(one)[1] - y];
      const along = dx * way[0] + dy * way[1];
      const far = along + 3 * Math.abs(dx * way[1] - dy * way[0]);
      if (along > 0 && far < least) { least = far; best = one; }
    }
    if (!best) return;
    here.setAttribute('tabindex', '-1');
    best.setAttribute('tabindex', '0');
    best.focus();
    const [bx, by] = at(best);
    if (bx < view[0] || by < view[1] || bx > view[0] + view[2] || by > view[1] + view[3]) show([bx - view[2] / 2, by - view[3] / 2, view[2]]);
  });

  // --- the canary
  const canary = document.getElementById('canary-data');
  if (canary) {
    const rowsOf = JSON.parse(canary.textContent);
    Chart.draw(document.getElementById('canary'), {
      name: 'Canary', y: 'score / threshold', height: 150,
      points: rowsOf.map(([day, score, threshold]) => ({
        x: Date.parse(day), y: score / threshold, over: score <= threshold,
        words: day + ': score ' + score.toPrecision(4) + ' of ' + threshold.toPrecision(4) + (score > threshold ? ', seen' : ', NOT seen') })),
      edges: [{ y: 1, told: true }], line: true });
  }
})();
