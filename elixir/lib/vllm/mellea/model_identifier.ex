defmodule Vllm.Mellea.ModelIdentifier do
  @moduledoc "The names of a model. The backend needs the one on Hugging Face, or a folder."

  defstruct [:hf_model_name]

  @type t :: %__MODULE__{hf_model_name: String.t() | nil}
end
