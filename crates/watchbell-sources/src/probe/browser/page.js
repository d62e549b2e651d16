// What steps ask of a page. Each question is answered with `{state, ...}`; `ok` is what the step wants.
(question, a, b) => {
  const words = (it) => ((it.tagName === 'INPUT' || it.tagName === 'TEXTAREA' ? it.value : it.innerText) || '').trim();
  const all = (selector) => {
    if (!selector.startsWith('text=')) return [...document.querySelectorAll(selector)];
    const wanted = selector.slice(5).trim();
    const have = [...document.querySelectorAll('body, body *')].filter((it) => words(it) === wanted);
    return have.filter((it) => !have.some((other) => other !== it && it.contains(other)));
  };
  const isVisible = (it) => {
    const box = it.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && getComputedStyle(it).visibility === 'visible';
  };
  const name = (it) => {
    const id = it.id ? '#' + it.id : [...it.classList].slice(0, 2).map((one) => '.' + one).join('');
    return it.tagName.toLowerCase() + id;
  };
  const find = (selector) => {
    let found;
    try {
      found = all(selector);
    } catch (error) {
      return { state: 'bad' };
    }
    if (found.length === 0) return { state: 'missing' };
    const it = found.find(isVisible);
    return it ? { state: 'ok', it } : { state: 'hidden' };
  };
  const usable = (selector) => {
    const found = find(selector);
    if (found.it && found.it.closest(':disabled')) return { state: 'disabled' };
    if (found.it) found.it.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    return found;
  };
  const answer = ({ it, ...rest }) => rest;

  const questions = {
    visible: () => answer(find(a)),
    // Where to click.
    place: () => {
      const found = usable(a);
      if (!found.it) return answer(found);
      const box = found.it.getBoundingClientRect();
      const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
      const hit = document.elementFromPoint(x, y);
      if (!hit) return { state: 'outside' };
      const isPart = found.it.contains(hit) || (hit.tagName === 'LABEL' && hit.control === found.it);
      return isPart || hit.shadowRoot ? { state: 'ok', x, y } : { state: 'covered', by: name(hit) };
    },
    // Makes a field ready for text that is typed; `done` where it is filled already.
    fill: () => {
      const found = usable(a);
      const it = found.it;
      if (!it) return answer(found);
      const tell = () => ['input', 'change'].forEach((event) => it.dispatchEvent(new Event(event, { bubbles: true })));
      if (it.tagName === 'SELECT') {
        const choice = [...it.options].find((one) => one.value === b || one.label.trim() === b);
        if (!choice) return { state: 'choice' };
        it.value = choice.value;
        tell();
        return { state: 'ok', done: true };
      }
      const typed = ['text', 'password', 'email', 'search', 'tel', 'url', 'number'];
      if (it.isContentEditable) {
        it.focus();
        getSelection().selectAllChildren(it);
        return { state: 'ok', done: false };
      }
      if (it.tagName !== 'TEXTAREA' && it.tagName !== 'INPUT') return { state: 'field', by: name(it) };
      if (it.readOnly) return { state: 'readonly' };
      if (it.tagName === 'TEXTAREA' || typed.includes(it.type)) {
        it.focus();
        it.select();
        return { state: 'ok', done: false };
      }
      if (['date', 'time', 'datetime-local', 'month', 'week', 'color', 'range'].includes(it.type)) {
        const own = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value');
        own.set.call(it, b);
        tell();
        return { state: 'ok', done: true };
      }
      return { state: 'field', by: `${name(it)} of type ${it.type}` };
    },
    text: () => {
      const found = find(a);
      return found.it ? { state: 'ok', text: words(found.it).slice(0, 100000) } : answer(found);
    },
    contains: () => {
      const text = document.body ? document.body.innerText : '';
      return { state: 'ok', contains: text.includes(a), text: text.slice(0, 300) };
    },
    about: () => ({ state: 'ok', title: document.title, url: location.href }),
  };
  return questions[question]();
}
