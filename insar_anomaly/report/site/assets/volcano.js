// A volcano's page: series of scores, score maps in time, motion of places.
'use strict';
(function () {
  const source = document.getElementById('data');
  if (!source) return;
  const stacks = JSON.parse(source.textContent);
  const ms = (text) => Date.parse(text);

  function series(key, stack, film) {
    const place = document.getElementById(key + '-series');
    if (!place) return;
    const edges = [];
    const split = stack.told !== null && stack.told > stack.threshold;
    if (stack.threshold !== null) edges.push({ y: stack.threshold, told: !split });
    if (stack.threshold !== null && split) edges.push({ y: stack.told, told: true });
    Chart.draw(place, {
      name: 'Scores of ' + stack.name, y: 'score', bands: true, bend: stack.threshold, edges,
      points: stack.rows.map(([name, first, last, after, score, over, period]) => ({
        x: ms(last), y: score, over, key: name,
        words: first + ' to ' + last + ': score ' + (score === null ? 'none' : score.toPrecision(4)) +
          (stack.threshold === null ? '' : ', threshold ' + stack.threshold.toPrecision(4)) +
          (period === null ? '' : ', return period ' + (period >= 1e4 ? 'more than 10,000' : Number(period.toPrecision(2))) + ' years') +
          (after ? ', ' + after + ' acquisitions after it' : '') + (over ? ': over the threshold' : '') })),
      spans: stack.flags.map((one) => ({
        from: ms(one.since), to: ms(one.until), short: '#' + one.number + (one.label ? ' ' + one.label : ''),
        kind: one.state === 'noted' ? 'noted' : one.open ? 'told' : 'over',
        words: 'Flag ' + one.number + ', ' + one.state + ', ' + one.since + ' to ' + one.until + (one.label ? ', labelled ' + one.label : '') })),
      ticks: stack.flags.flatMap((one) => one.acks.map(([day, by]) => ({ x: ms(day), words: 'acknowledged by ' + by + ' on ' + day }))),
      onPick: (one) => { if (film) film.show(0, one.key); } });
  }

  function film(key, stack) {
    const place = document.getElementById(key + '-film');
    if (!place || !stack.film) return null;
    const { src, names, width, height, columns, vent } = stack.film;
    const image = new Image();
    const rows = new Map(stack.rows.map((one) => [one[0], one]));
    const parts = Array.from(place.querySelectorAll('figure')).map((figure) => ({
      canvas: figure.querySelector('canvas'), slider: figure.querySelector('input'), words: figure.querySelector('figcaption') }));
    function paint(part) {
      const k = Number(part.slider.value);
      const scale = Math.max(1, Math.floor(360 / width));
      part.canvas.width = width * scale;
      part.canvas.height = height * scale;
      const pen = part.canvas.getContext('2d');
      pen.imageSmoothingEnabled = false;
      pen.drawImage(image, (k % columns) * width, Math.floor(k / columns) * height, width, height, 0, 0, width * scale, height * scale);
      const [x, y] = [vent[0] * width * scale, vent[1] * height * scale];
      pen.beginPath();
      pen.moveTo(x, y - 7); pen.lineTo(x + 6, y + 5); pen.lineTo(x - 6, y + 5); pen.closePath();
      pen.fillStyle = '#000000'; pen.strokeStyle = '#ffffff'; pen.lineWidth = 1.5; pen.fill(); pen.stroke();
      const row = rows.get(names[k]);
      const words = row ? row[1] + ' to ' + row[2] + (row[4] === null ? ', no score' : ', score ' + row[4].toPrecision(4) + (row[5] ? ', over the threshold' : '')) : names[k];
      part.words.textContent = words;
      part.canvas.setAttribute('aria-label', 'Score map: ' + words);
      part.slider.setAttribute('aria-valuetext', words);
    }
    parts.forEach((part, number) => {
      part.slider.max = String(names.length - 1);
      part.slider.value = String(number ? Math.max(0, names.length - 2) : names.length - 1);
      part.slider.addEventListener('input', () => paint(part));
    });
    image.addEventListener('load', () => parts.forEach(paint));
    image.src = src;
    return { show: (number, name) => {
      const k = names.indexOf(name);
      if (k < 0) return;
      parts[number].slider.value = String(k);
      paint(parts[number]);
    } };
  }

  function motion(key, number, one) {
    const place = document.getElementById(key + '-motion-' + number);
    if (!place) return;
    const line = (values) => one.days.map((day, k) => ({ x: ms(day), y: values[k], words: day + ': ' + (values[k] === null ? 'not measured' : values[k].toFixed(1) + ' cm') }));
    function paint(extra, words) {
      Chart.draw(place, { name: 'Motion of the peak' + (words ? ' and of ' + words : ''), y: 'cm towards the satellite' + (words ? ' · orange: ' + words : ''),
        height: 190, zero: true, line: true, points: line(one.peak), lines: extra ? [line(extra)] : [], none: 'The motion of the peak is not known.' });
    }
    paint(null, '');
    const [tall, wide] = one.shape;
    const map = document.getElementById(key + '-map-' + number);
    if (!map || !tall) return;
    const pick = { row: Math.floor(tall / 2), column: Math.floor(wide / 2) };
    const mark = map.querySelector('.cross');
    function tell() {
      const values = one.cells[pick.row][pick.column];
      mark.setAttribute('x', String(pick.column));
      mark.setAttribute('y', String(pick.row));
      const lat = one.north - (pick.row + 0.5) * one.dy;
      const lon = one.west + (pick.column + 0.5) * one.dx;
      const words = lat.toFixed(3) + ', ' + lon.toFixed(3);
      paint(values.every((value) => value === null) ? null : values, values.every((value) => value === null) ? words + ': not measured' : words);
    }
    map.addEventListener('click', (event) => {
      const box = map.getBoundingClientRect();
      pick.column = Math.min(wide - 1, Math.floor((event.clientX - box.left) / box.width * wide));
      pick.row = Math.min(tall - 1, Math.floor((event.clientY - box.top) / box.height * tall));
      tell();
    });
    map.addEventListener('keydown', (event) => {
      const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!move) return;
      event.preventDefault();
      pick.row = Math.max(0, Math.min(tall - 1, pick.row + move[0]));
      pick.column = Math.max(0, Math.min(wide - 1, pick.column + move[1]));
      tell();
    });
  }

  for (const key in stacks) {
    const stack = stacks[key];
    series(key, stack, film(key, stack));
    stack.motion.forEach((one, number) => { if (one) motion(key, number, one); });
  }
})();
