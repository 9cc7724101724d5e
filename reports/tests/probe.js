const box = e => e.getBoundingClientRect();
const name = e => (e.id || e.closest('section')?.id || '') + ': ' + e.textContent.trim().slice(0, 40);
const plots = [...document.querySelectorAll('svg.plot')];
const meets = (a, b) => a.left + 0.5 < b.right && b.left + 0.5 < a.right && a.top + 1.5 < b.bottom && b.top + 1.5 < a.bottom;
const luminance = colour => {
  const linear = colour.match(/[\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const emptyPlots = [], outside = [], overlaps = [], faint = [], badHeadings = [];
let smallestText = Infinity;
for (const plot of plots) {
  const frame = box(plot);
  const marks = plot.querySelectorAll('rect, circle, polygon, polyline, line');
  const drawn = [...marks].filter(m => m.getAttribute('fill') !== 'transparent' && box(m).width + box(m).height > 0);
  if (frame.width < 200 || frame.height < 40 || drawn.length < 3) emptyPlots.push(name(plot));
  const texts = [...plot.querySelectorAll('text')];
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
const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1]);
levels.forEach((level, i) => { if (level > (i ? levels[i - 1] : 0) + 1) badHeadings.push(level); });
const count = id => document.querySelectorAll(`#${id} svg.plot`).length;
const first = document.querySelector('#verdict .first');
const message = {
  width: innerWidth,
  scrollWidth: document.documentElement.scrollWidth,
  title: document.title,
  firstSection: document.querySelector('section').id,
  verdict: getComputedStyle(first).visibility === 'visible' && box(first).height > 0 ? first.textContent : null,
  verdictTop: box(first).top,
  plots: Object.fromEntries(['memory', 'ratios', 'syscalls', 'faults', 'rss'].map(id => [id, count(id)])),
  emptyPlots, outside, overlaps, faint, badHeadings, smallestText,
  requests: performance.getEntriesByType('resource').map(e => e.name),
  scripts: [...document.querySelectorAll('script, img, iframe, link:not([href="data:,"]), [onerror]')].filter(e => e !== document.currentScript).map(e => e.outerHTML),
  dark: luminance(getComputedStyle(document.body).backgroundColor) < 0.2,
};
parent.postMessage(JSON.stringify(message), '*');
