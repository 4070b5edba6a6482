# Cistern in a container. All is built in the first stage; the second gets what runs, without npm's cache, compiler or tests.
# The process is node itself (SIGTERM reaches it), not root, with the store in /data.
ARG BASE=docker.io/library/node:26-slim

FROM ${BASE} AS build
WORKDIR /build
COPY package.json package-lock.json tsconfig.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY deploy/build.sh deploy/build-page.js ./deploy/
COPY src ./src
# For `cistern --version`: --build-arg COMMIT=$(git rev-parse --short HEAD)
ARG COMMIT
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${BASE}
ENV NODE_ENV=production CISTERN_STORE_PATH=/data
WORKDIR /app
# A new volume takes its owner from this folder.
RUN install -d -o node -g node /data
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
# All defaults. Mount another file over it, or name one with CISTERN_CONFIG.
COPY mirror.yml ./
# `docker exec NAME cistern stats`
RUN chmod 755 dist/main.js && ln -s /app/dist/main.js /usr/local/bin/cistern
# The user `node`, as a number so that Kubernetes sees that it isn't root.
USER 1000:1000
VOLUME /data
EXPOSE 5000
# Asks the port of the shipped configuration.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5000/healthz').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/main.js", "serve"]
