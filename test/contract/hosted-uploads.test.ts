/** Uploads and mounts over a real store do what every registry that can be pushed to must do. */
import { BlobRegistry, UploadsRig } from '../unit/hosted/uploads/uploads-rig.ts';
import { describeUploads } from './registry-writer.ts';

describeUploads('Uploads', async () => new BlobRegistry(await UploadsRig.create()));
