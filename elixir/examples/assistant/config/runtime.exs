import Config

# Read when the release starts: a folder, or a name from Hugging Face.
if model = System.get_env("ASSISTANT_MODEL"), do: config(:assistant, engine: [model: model])
