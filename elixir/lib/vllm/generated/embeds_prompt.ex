# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.EmbedsPrompt do
  @moduledoc """
  Schema for a prompt provided via token embeddings.

  In Python: `vllm.inputs.llm.EmbedsPrompt`, whose words these are: its `None` is `nil` here.
  A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:prompt_embeds` - `torch.Tensor`, required. The embeddings of the prompt.
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
    * `:prompt` - `str`, default `nil`. The prompt text corresponding to the token embeddings,
      if available.
    * `:prompt_token_ids` - `list[int]`, default `nil`. Token IDs for mixed-mode inputs (chat
      completion with `prompt_embeds` content parts). The tokens at positions where
      `prompt_is_token_ids` is `False` are placeholder tokens that get replaced by entries from
      `prompt_embeds` in the forward pass.
    * `:prompt_is_token_ids` - `list[bool]`, default `nil`. Per-position mask, `True` uses the
      real token ID, `False` uses the corresponding entry from `prompt_embeds`. Must be the same
      length as `prompt_token_ids` when both are set.
  """

  @type t :: %__MODULE__{
          prompt_embeds: Vllm.Tensor.t() | list(),
          multi_modal_data: %{optional(String.t()) => term()} | nil,
          media_io_kwargs: %{optional(String.t()) => %{optional(String.t()) => term()}} | nil,
          mm_processor_kwargs: %{optional(String.t()) => term()} | nil,
          multi_modal_uuids: %{optional(String.t()) => [String.t() | nil] | String.t()} | nil,
          cache_salt: String.t() | nil,
          prompt: String.t() | nil,
          prompt_token_ids: [integer()] | nil,
          prompt_is_token_ids: [boolean()] | nil
        }

  defstruct prompt_embeds: nil,
            multi_modal_data: nil,
            media_io_kwargs: nil,
            mm_processor_kwargs: nil,
            multi_modal_uuids: nil,
            cache_salt: nil,
            prompt: nil,
            prompt_token_ids: nil,
            prompt_is_token_ids: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
