'use strict';
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)];

  // Tables are sorted by a click on a heading; the third one restores their order.
  const key = cell => {
    if (!cell) return null;
    const value = cell.dataset.v ?? cell.textContent.trim();
    return value === '' || value === '–' ? null : isNaN(value) ? value : Number(value);
  };
  const compare = (a, b) =>
    typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));
  const sortable = within => all('table.sortable', within).forEach(table => {
    const body = table.tBodies[0];
    const order = [...body.rows];
    const heads = all('thead th', table);
    heads.forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const next = { ascending: 'descending', descending: null }[head.ariaSort];
        const way = next === undefined ? 'ascending' : next;
        heads.forEach(other => other.removeAttribute('aria-sort'));
        if (way) head.setAttribute('aria-sort', way);
        const sign = way === 'descending' ? -1 : 1;
        const rows = !way ? order : [...order].sort((a, b) => {
          const [x, y] = [key(a.cells[column]), key(b.cells[column])];
          // What has no figure goes last, either way.
          return x === null || y === null ? (x === null) - (y === null) : sign * compare(x, y);
        });
        body.append(...rows);
      });
    });
  });
  sortable(document);

  // What is packed is unpacked when it is asked for, and else when there is time.
  const unpack = async within => {
    const packed = within.querySelector('template.packed');
    if (!packed) return;
    packed.classList.remove('packed');
    const bytes = Uint8Array.from(atob(packed.content.textContent), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    packed.insertAdjacentHTML('afterend', await new Response(stream).text());
    packed.remove();
    sortable(within);
  };
  const folds = all('details.workload');
  folds.forEach(one => one.addEventListener('toggle', () => { if (one.open) unpack(one); }));
  const follow = async () => {
    const [, number] = location.hash.match(/^#w(\d+)/) ?? [];
    const one = number && document.getElementById(`w${number}`);
    if (!one) return;
    await unpack(one);
    one.open = true;
    document.querySelector(location.hash)?.scrollIntoView();
  };
  addEventListener('hashchange', follow);
  follow();
  const rest = [...folds];
  const idle = async () => {
    const one = rest.shift();
    if (!one) {
      document.documentElement.dataset.unpacked = 'all';
      return;
    }
    await unpack(one);
    setTimeout(idle, 20);
  };
  idle();

  // Engines and workloads that are not ticked disappear.
  const form = document.getElementById('filters');
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [sheet];
  const filter = () => {
    const off = all('input:not(:checked)', form).map(box => `[data-${box.name}="${box.value}"]`);
    sheet.replaceSync(off.length ? `:is(${off})${'{display:none!important}'}` : '');
  };
  if (form) {
    form.hidden = false;
    form.addEventListener('change', filter);
    for (const button of all('button[data-set]', form)) {
      button.addEventListener('click', () => {
        const on = button.dataset.set === 'all';
        all('input', button.closest('fieldset')).forEach(box => { box.checked = on; });
        filter();
      });
    }
    filter();
  }

  // Everything is open on paper, and as it was afterwards.
  const folded = () => all('details:not([open])');
  let opened = [];
  addEventListener('beforeprint', () => {
    opened = folded().filter(one => !one.classList.contains('data'));
    opened.forEach(one => { one.open = true; });
  });
  addEventListener('afterprint', () => opened.forEach(one => { one.open = false; }));
  for (const button of all('button[data-open]')) {
    button.hidden = false;
    button.addEventListener('click', () => {
      folds.forEach(one => { one.open = button.dataset.open === 'all'; });
    });
  }
  document.documentElement.dataset.script = 'ran';
})();
