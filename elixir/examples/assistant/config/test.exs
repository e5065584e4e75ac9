import Config

# Tests start the supervision tree too, with a fake engine.
config :assistant, vllm: Vllm.Test, engine: [model: "fake"]
