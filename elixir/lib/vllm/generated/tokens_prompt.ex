# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.TokensPrompt do
  @moduledoc """
  Schema for a tokenized prompt.

  In Python: `vllm.inputs.llm.TokensPrompt`, whose words these are: its `None` is `nil` here.
  A keyword list or a map with these keys is accepted wherever this struct is.

  ## Example

      iex> %Vllm.TokensPrompt{prompt_token_ids: [1, 15043], cache_salt: "tenant-7"}.prompt
      nil

  ## Fields

    * `:prompt_token_ids` - `list[int]`, required. A list of token IDs to pass to the model.
    * `:multi_modal_data` - `Mapping[str, Any or list[Any or None] or None] or None`, default
      `nil`. Optional multi-modal data to pass to the model, if the model supports it.
    * `:media_io_kwargs` - `dict[str, dict[str, Any]] or None`, default `nil`. Optional
      per-modality media loading and decoding arguments. Used only for hash derivation when
      using multi-modal UUIDs.
    * `:mm_processor_kwargs` - `dict[str, Any] or None`, default `nil`. Optional multi-modal
      processor kwargs to be forwarded to the multimodal input mapper & processor. Note that if
      multiple modalities have registered mappers etc for the model being considered, we attempt
      to pass the mm_processor_kwargs to each of them.
    * `:multi_modal_uuids` - `Mapping[str, Sequence[str or None] or str]`, default `nil`.
      Optional user-specified UUIDs for multimodal items, mapped by modality. Lists must match
      the number of items per modality and may contain `None`. For `None` entries, the hasher
      will compute IDs automatically; non-None entries override the default hashes for caching,
      and MUST be unique per multimodal item.
    * `:cache_salt` - `str`, default `nil`. Optional cache salt to be used for prefix caching.
    * `:prompt` - `str`, default `nil`. The prompt text corresponding to the token IDs, if
      available.
    * `:token_type_ids` - `list[int]`, default `nil`. A list of token type IDs to pass to the
      cross encoder model.
    * `:prompt_token_offsets` - `list[tuple[int, int]] or None`, default `nil`. Char-level
      (start, end) offsets per token, relative to the tokenized source string. Present only when
      offsets were requested AND a Fast (Rust-backed) tokenizer was used AND no multimodal data
      was present. The list length equals the length of `prompt_token_ids`.
  """

  @type t :: %__MODULE__{
          prompt_token_ids: [integer()],
          multi_modal_data: %{optional(String.t()) => term()} | nil,
          media_io_kwargs: %{optional(String.t()) => %{optional(String.t()) => term()}} | nil,
          mm_processor_kwargs: %{optional(String.t()) => term()} | nil,
          multi_modal_uuids: %{optional(String.t()) => [String.t() | nil] | String.t()} | nil,
          cache_salt: String.t() | nil,
          prompt: String.t() | nil,
          token_type_ids: [integer()] | nil,
          prompt_token_offsets: [{integer(), integer()}] | nil
        }

  defstruct prompt_token_ids: nil,
            multi_modal_data: nil,
            media_io_kwargs: nil,
            mm_processor_kwargs: nil,
            multi_modal_uuids: nil,
            cache_salt: nil,
            prompt: nil,
            token_type_ids: nil,
            prompt_token_offsets: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
