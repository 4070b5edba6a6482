# Cistern in a container: built with everything, run with what it needs, as the unprivileged user of the base image.
# The store is the volume /data; mirror.yml can be replaced by mounting another one over /app/mirror.yml.
FROM node:20-slim AS build
WORKDIR /build
COPY package.json package-lock.json tsconfig.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY src ./src
RUN npm run build

FROM node:20-slim
ENV NODE_ENV=production CISTERN_STORE_PATH=/data
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && npm cache clean --force && install -d -o node -g node /data
COPY --from=build /build/dist ./dist
COPY mirror.yml ./
USER node
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5000/healthz').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# node itself, so that SIGTERM reaches it: a shell or npm in between would not pass it on.
CMD ["node", "dist/main.js", "serve"]
