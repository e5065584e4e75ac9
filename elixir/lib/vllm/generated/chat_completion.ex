# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ChatCompletion do
  @moduledoc """
  The whole answer to a chat request.

  In Python: `python_worker.chat.answers.ChatCompletion`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:id` - `str`. Names the request in the engine.
    * `:model` - `str`. The served name of the model, or the name of the adapter.
    * `:choices` - `list[ChatChoice]`. The answers, in order.
    * `:usage` - `ChatUsage`. How many tokens it took.
    * `:prompt` - `str or None`. The rendered prompt; None unless `return_prompt_text` was true.
    * `:prompt_token_ids` - `list[int] or None`. Its tokens; None unless `return_token_ids` was
      true.
  """

  @type t :: %__MODULE__{
          id: String.t(),
          model: String.t(),
          choices: [Vllm.ChatChoice.t()],
          usage: Vllm.ChatUsage.t(),
          prompt: String.t() | nil,
          prompt_token_ids: [integer()] | nil
        }

  defstruct id: nil,
            model: nil,
            choices: nil,
            usage: nil,
            prompt: nil,
            prompt_token_ids: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
