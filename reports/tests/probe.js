(async () => {
// What is packed must be there before it can be looked at.
const root = document.documentElement;
for (let i = 0; i < 1000 && root.dataset.script && root.dataset.unpacked !== 'all'; i++) {
  await new Promise(done => setTimeout(done, 20));
}
const box = e => e.getBoundingClientRect();
const all = (query, within = document) => [...within.querySelectorAll(query)];
const name = e => (e.id || e.closest('[id]')?.id || '') + ': ' + e.textContent.trim().slice(0, 40);
const meets = (a, b) => a.left + 0.5 < b.right && b.left + 0.5 < a.right && a.top + 1.5 < b.bottom && b.top + 1.5 < a.bottom;
const luminance = colour => {
  const parts = colour.match(/[\d.]+/g).slice(0, 3).map(Number);
  // color-mix() computes to `color(srgb r g b)`, with parts from 0 to 1.
  const linear = parts.map(v => colour.startsWith('color') ? v : v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const scrollWidth = () => document.documentElement.scrollWidth;
const folded = scrollWidth();
const first = document.querySelector('#verdict .first');
const verdictTop = box(first).top;
all('details').forEach(one => { one.open = true; });

const plots = all('svg.plot');
const emptyPlots = [], outside = [], overlaps = [], faint = [], badHeadings = [], tableless = [], undirected = [], unlabelled = [], unfit = [];
let smallestText = Infinity;
for (const plot of plots) {
  const frame = box(plot);
  const marks = plot.querySelectorAll('rect, circle, polygon, polyline, line, path, use');
  const drawn = [...marks].filter(m => !m.classList.contains('t') && box(m).width + box(m).height > 0);
  if (frame.width < 200 || frame.height < 40 || drawn.length < 3) emptyPlots.push(name(plot));
  const texts = all('text', plot);
  texts.forEach((text, i) => {
    const b = box(text);
    smallestText = Math.min(smallestText, parseFloat(getComputedStyle(text).fontSize) * frame.width / plot.viewBox.baseVal.width);
    if (b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1) outside.push(name(plot) + ' ' + text.textContent.trim());
    for (const other of texts.slice(i + 1)) if (meets(b, box(other))) overlaps.push(text.textContent.trim() + ' / ' + other.textContent.trim());
    if (contrast(getComputedStyle(text).fill, getComputedStyle(plot.closest('figure')).backgroundColor) < 4.5) faint.push(text.textContent.trim());
  });
  for (const mark of drawn.filter(m => /series|kind|reference/.test(m.getAttribute('fill') + m.getAttribute('stroke')))) {
    const style = getComputedStyle(mark);
    const colour = style.fill === 'none' ? style.stroke : style.fill;
    if (contrast(colour, getComputedStyle(plot.closest('figure')).backgroundColor) < 3) faint.push(mark.outerHTML.slice(0, 80));
  }
}
for (const picture of all('svg.plot, svg.map')) {
  const figure = picture.closest('figure');
  const link = figure.querySelector('a[href^="#"]');
  const table = figure.querySelector('details.data table') ?? (link && document.querySelector(`${link.hash} table`));
  if (!table || table.tBodies[0].rows.length === 0) tableless.push(name(figure));
  if (picture.getAttribute('role') !== 'img' || !picture.getAttribute('aria-label')) unlabelled.push(name(picture));
}
for (const plot of document.querySelectorAll('#memory svg.plot, #workloads svg.plot, #criterion svg.plot')) {
  const told = plot.closest('figure').textContent;
  if (!/(lower|left|fewer) is better/.test(told)) undirected.push(name(plot));
}
for (const cell of all('table.heat td')) {
  if (contrast(getComputedStyle(cell).color, getComputedStyle(cell).backgroundColor) < 4.5 && getComputedStyle(cell).backgroundColor !== 'rgba(0, 0, 0, 0)') faint.push(cell.outerHTML);
}
for (const scroll of all('.scroll')) if (scroll.tabIndex !== 0 || !scroll.getAttribute('aria-label')) unlabelled.push(name(scroll));
for (const input of all('input')) if (!input.closest('label')) unlabelled.push(input.outerHTML);
for (const head of all('th')) if (!head.scope) unlabelled.push(head.outerHTML.slice(0, 80));
for (const e of all('main *')) {
  if (box(e).right > innerWidth + 1 && !e.closest('.scroll') && !e.closest('svg')) unfit.push(name(e));
}
for (const cell of all('th, td')) {
  if (cell.scrollWidth > cell.clientWidth + 1) unfit.push('cell ' + name(cell));
}
const levels = all('h1, h2, h3, h4').map(h => +h.tagName[1]);
levels.forEach((level, i) => { if (level > (i ? levels[i - 1] : 0) + 1) badHeadings.push(level); });

// What the script does, tried as a person would.
const tried = {};
const table = document.querySelector('table.heat');
if (table) {
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[2]).map(cell => parseFloat(cell.dataset.v)).filter(v => !isNaN(v));
  const before = column();
  const head = table.tHead.rows[0].cells[2];
  const press = () => head.querySelector('button')?.click();
  press();
  tried.sorted = head.ariaSort === 'ascending' && String(column()) === String([...before].sort((a, b) => a - b));
  press();
  tried.reversed = head.ariaSort === 'descending' && String(column()) === String([...before].sort((a, b) => b - a));
  press();
  tried.restored = !head.hasAttribute('aria-sort') && String(column()) === String(before);
  const shown = query => all(query).filter(e => getComputedStyle(e).display !== 'none').length;
  const boxes = query => document.querySelector(`#filters ${query}`);
  const counts = () => ['[data-arm="1"]', '[data-workload="0"]'].map(shown);
  const [arms, workloads] = counts();
  boxes('input[name=arm][value="1"]').click();
  boxes('input[name=workload][value="0"]').click();
  tried.filtered = arms > 20 && workloads > 2 && String(counts()) === '0,0';
  boxes('input[name=arm][value="1"]').click();
  boxes('input[name=workload][value="0"]').click();
  tried.unfiltered = String(counts()) === String([arms, workloads]);
}
const message = {
  width: innerWidth,
  folded,
  scrollWidth: scrollWidth(),
  title: document.title,
  language: document.documentElement.lang,
  firstSection: document.querySelector('section').id,
  verdict: getComputedStyle(first).visibility === 'visible' && box(first).height > 0 ? first.textContent : null,
  verdictTop,
  plots: Object.fromEntries(['ratios', 'samples', 'syscalls', 'faults', 'rss', 'latency', 'occupancy', 'curve'].map(c => [c, all(`figure.${c} svg.plot`).length])),
  scatters: all('#memory svg.plot').length,
  maps: all('svg.map').length,
  heat: [...(table?.tBodies[0].rows ?? [])].map(row => row.querySelectorAll('b').length),
  claims: all('.claim').map(claim => claim.querySelector('.stands').textContent.trim()),
  emptyPlots, outside, overlaps, faint, badHeadings, tableless, undirected, unlabelled, unfit, smallestText, tried,
  requests: performance.getEntriesByType('resource').map(e => e.name),
  strangers: all('script, img, iframe, link:not([href="data:,"]), [onerror]').filter(e => !(e.tagName === 'SCRIPT' && !e.src)).map(e => e.outerHTML),
  script: root.dataset.script ?? null,
  packed: all('template').length,
  workloads: all('details.workload').map(one => one.querySelectorAll('figure svg').length),
  dark: luminance(getComputedStyle(document.body).backgroundColor) < 0.2,
};
parent.postMessage(JSON.stringify(message), '*');
})();
