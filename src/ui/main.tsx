/** Starts the page: colours first, then the session, then the view that the address names. */
import './style/tokens.css';
import './style/base.css';
import './style/shell.css';
import './style/parts.css';
import './style/views.css';
import 'uplot/dist/uPlot.min.css';
import { render } from 'preact';
import { Shell } from './shell.tsx';
import { startClock } from './state/changes.ts';
import { followLinks } from './state/navigation.ts';
import { startSession } from './state/session.ts';
import { startTheme } from './state/theme.ts';

start();

function start(): void {
  const page = document.getElementById('page');
  if (page === null) throw new Error('index.html has no element named page');
  startTheme();
  followLinks();
  startClock();
  void startSession();
  render(<Shell />, page);
}
