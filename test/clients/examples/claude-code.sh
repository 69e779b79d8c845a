export ANTHROPIC_BASE_URL=http://localhost:8787
export ANTHROPIC_AUTH_TOKEN=$FLOW_LAYER_API_KEY
export ANTHROPIC_MODEL=anthropic/flow-agent-reasoning
export ANTHROPIC_DEFAULT_HAIKU_MODEL=anthropic/flow-fast-eval
claude
