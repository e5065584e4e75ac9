defmodule Vllm.Core.Chat.Settings do
  @moduledoc false
  # The options of a chat that are the bridge's, beside the fields of OpenAI's request.

  alias Vllm.Error
  alias Vllm.Core.Options

  @table [
    {:tool_parser, {:or, [:string, {:in, [nil]}]}, nil,
     "vLLM's name of what reads tool calls in the model's text; needed for `tools`."},
    {:reasoning_parser, {:or, [:string, {:in, [nil]}]}, nil,
     "vLLM's name of what reads reasoning in the model's text; the engine's own if unset."},
    {:chat_template_content_format, {:in, ["auto", "string", "openai"]}, "auto",
     "how the parts of a content are given to the chat template; `\"auto\"` finds out."},
    {:lora_request, :term, nil,
     "an adapter as a `Vllm.LoRARequest`, which is loaded if it is not; or name a loaded one as `model:`."},
    {:max_rounds, {:range, 0, 1000}, 8, "how many times tools are run before `chat/3` returns."},
    {:tool_timeout, :timeout, 60_000, "how many milliseconds the tools of one answer may take."}
  ]

  @keys Enum.map(@table, &elem(&1, 0))
  @rpc [:rpc, :__runtime__]
  @sent [:tool_parser, :reasoning_parser, :chat_template_content_format, :lora_request]

  @doc "The options, as documentation."
  @spec docs() :: String.t()
  def docs do
    Options.docs(@table) <> "  * `:rpc` - the options of the bridge, see `Vllm.Call`\n"
  end

  @doc "Those that are arguments of the worker's methods."
  @spec sent() :: [atom()]
  def sent, do: @sent

  @doc "Splits the options of a chat into these, and the fields of the request."
  @spec split(term()) :: {:ok, map(), keyword()} | {:error, Error.t()}
  def split(opts) do
    with {:ok, opts} <- keyword(opts),
         {rpc, opts} = Keyword.split(opts, @rpc),
         {own, fields} = Keyword.split(opts, @keys),
         {:ok, settings} <- Options.validate(@table, own, "the options of a chat"),
         :ok <- check_unique(fields) do
      {:ok, Map.put(settings, :rpc, rpc |> Keyword.values() |> unlimited()), fields}
    end
  end

  # As `generate`, a chat has no limit of time unless it gets one.
  defp unlimited(given), do: given |> List.first([]) |> Options.with_deadline(:infinity)

  defp keyword(opts) do
    if Keyword.keyword?(opts),
      do: {:ok, opts},
      else: {:error, Error.new(:invalid, "the options of a chat are a keyword list")}
  end

  defp check_unique(fields) do
    keys = Keyword.keys(fields)

    case keys -- Enum.uniq(keys) do
      [] ->
        :ok

      [key | _] ->
        details = %{"parameter" => "#{key}"}
        {:error, Error.new(:invalid, "the field #{key} is given twice", details: details)}
    end
  end
end
