/** Light, dark, or as the system says. The choice is kept in this browser; where it keeps nothing, for this visit. */
import { signal } from '@preact/signals';

export const themes = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const key = 'cistern-theme';
const darkQuery = matchMedia('(prefers-color-scheme: dark)');

export const theme = signal<Theme>(read());

/** Counts what changes colours: canvases are drawn anew. */
export const paintings = signal(0);

export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  apply();
  try {
    localStorage.setItem(key, chosen);
  } catch {
    // A browser that keeps nothing: the choice holds until the page is closed.
  }
}

/** To be called once, before anything is drawn. */
export function startTheme(): void {
  darkQuery.addEventListener('change', apply);
  apply();
}

function apply(): void {
  const isDark = theme.value === 'auto' ? darkQuery.matches : theme.value === 'dark';
  document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
  paintings.value += 1;
}

function read(): Theme {
  try {
    const kept = localStorage.getItem(key);
    return themes.find(one => one === kept) ?? 'auto';
  } catch {
    return 'auto';
  }
}
