# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.StructuredOutputsParams do
  @moduledoc """
  Makes the output follow a format. Exactly one of `json`, `regex`, `choice`, `grammar`,
  `json_object` and `structural_tag` must be set.

  In Python: `vllm.sampling_params.StructuredOutputsParams`, whose words these are: its `None`
  is `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Example

      iex> format = %Vllm.StructuredOutputsParams{choice: ["yes", "no"]}
      iex> %Vllm.SamplingParams{structured_outputs: format}.structured_outputs.choice
      ["yes", "no"]

  ## Fields

    * `:json` - `str or dict or None`, default `nil`. A JSON schema, as a map or as text.
    * `:regex` - `str or None`, default `nil`. A regular expression that the whole output
      matches.
    * `:choice` - `list[str] or None`, default `nil`. The strings from which the output is
      chosen.
    * `:grammar` - `str or None`, default `nil`. A context-free grammar, in EBNF or Lark syntax.
    * `:json_object` - `bool or None`, default `nil`. Any JSON object will do.
    * `:disable_any_whitespace` - `bool`, default `false`. Whether JSON is written without
      optional whitespace.
    * `:disable_additional_properties` - `bool`, default `false`. Whether objects have the
      schema's properties only.
    * `:whitespace_pattern` - `str or None`, default `nil`. A regular expression for whitespace
      between the parts of JSON.
    * `:structural_tag` - `str or None`, default `nil`. A structural tag, as JSON text: formats
      that hold within tags only.
  """

  @type t :: %__MODULE__{
          json: String.t() | map() | nil,
          regex: String.t() | nil,
          choice: [String.t()] | nil,
          grammar: String.t() | nil,
          json_object: boolean() | nil,
          disable_any_whitespace: boolean(),
          disable_additional_properties: boolean(),
          whitespace_pattern: String.t() | nil,
          structural_tag: String.t() | nil
        }

  defstruct json: nil,
            regex: nil,
            choice: nil,
            grammar: nil,
            json_object: nil,
            disable_any_whitespace: false,
            disable_additional_properties: false,
            whitespace_pattern: nil,
            structural_tag: nil
end
