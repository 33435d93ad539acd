# Builds the gateway from source and runs it, compiled, with production dependencies only and without root.
# The Node version is the one that scripts/node-runtime pins.

FROM node:24.21.0-slim AS build
WORKDIR /src
# Dependencies before source: this layer changes only with the lock file. .npmrc keeps install scripts off.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:24.21.0-slim
ENV NODE_ENV=production \
    BIFROST_HOST=0.0.0.0 \
    BIFROST_PORT=3333 \
    BIFROST_DATA_DIR=/data
WORKDIR /app
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/dist ./dist
COPY bin ./bin
# Owned by the user that runs: a volume that is mounted here empty takes this owner.
RUN install -d -o node -g node -m 0700 /data && ln -s /app/bin/bifrost.mjs /usr/local/bin/bifrost
USER node
VOLUME /data
EXPOSE 3333
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.BIFROST_PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/bifrost.mjs"]
CMD ["serve"]
