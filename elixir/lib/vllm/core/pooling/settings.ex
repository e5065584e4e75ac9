defmodule Vllm.Core.Pooling.Settings do
  @moduledoc false
  # The options of batches of pooling, and how they become arguments of the worker's methods. Values
  # of vLLM's are checked by the worker, which knows the model.

  alias Vllm.{Error, PoolingParams}
  alias Vllm.Core.Options

  @common [
    {:model, {:or, [:text, {:in, [nil]}]}, nil,
     "the name of the model, or of an adapter that was loaded with `Vllm.AsyncLLM.add_lora/2`."},
    {:use_activation, {:or, [:boolean, {:in, [nil]}]}, nil,
     "`false` leaves embeddings as long as they are, and classes as raw scores."},
    {:pooling_params, :term, nil,
     "a `Vllm.PoolingParams`, a map or a keyword list for all inputs, or a list with one for each; " <>
       "in place of `:use_activation` and `:dimensions`."},
    {:truncate_prompt_tokens, {:or, [{:range, -1, 0x7FFF_FFFF}, {:in, [nil]}]}, nil,
     "how many tokens of an input are kept; `-1` keeps what fits. Otherwise one that is too long " <>
       "is an error."},
    {:tokenization_kwargs, {:or, [:map, :keyword_list]}, %{},
     "more about how inputs are tokenized, such as `%{truncation_side: \"left\"}`."},
    {:lora_request, :term, nil,
     "an adapter as a `Vllm.LoRARequest` for all inputs, or a list with one for each."},
    {:priority, :term, 0, "a number for all inputs, or a list with one for each; low ones first."}
  ]

  @dimensions {:dimensions, {:or, [{:range, 1, 0x7FFF_FFFF}, {:in, [nil]}]}, nil,
               "how long the embeddings are, of a Matryoshka model."}

  @task {:task, {:in, ["embed", "classify", "token_embed", "token_classify"]}, :required,
         "what is computed."}

  @pairs [
    {:chat_template, {:or, [:text, {:in, [nil]}]}, nil,
     "the template of Jinja that puts a query and a document into one prompt, for a cross-encoder."},
    {:chat_template_kwargs, {:or, [:map, {:in, [nil]}]}, nil,
     "what the template reads beside them."},
    {:instruction, {:or, [:text, {:in, [nil]}]}, nil,
     "the same as `chat_template_kwargs: %{instruction: text}`."},
    {:max_tokens_per_query, {:range, 0, 0x7FFF_FFFF}, 0,
     "where queries are cut; `0` is nowhere."},
    {:max_tokens_per_doc, {:range, 0, 0x7FFF_FFFF}, 0, "where documents are cut; `0` is nowhere."}
  ]

  @tables %{
    embed: [@dimensions | @common],
    classify: @common,
    encode_batch: [@task, @dimensions | @common],
    score: @common ++ @pairs
  }

  @rpc [:rpc, :__runtime__]

  @doc "The options of all functions, as documentation."
  @spec docs() :: String.t()
  def docs do
    Options.docs(@common) <> "  * `:rpc` - the options of the bridge, see `Vllm.Call`\n"
  end

  @doc "The options that one function has beside these, as documentation."
  @spec docs(atom()) :: String.t()
  def docs(function), do: Options.docs(@tables[function] -- @common)

  @doc "The arguments of a method by name, and the options of the bridge."
  @spec arguments(atom(), term()) :: {:ok, keyword()} | {:error, Error.t()}
  def arguments(method, opts) do
    with true <- Keyword.keyword?(opts) or not_keyword(method),
         {rpc, own} = Keyword.split(opts, @rpc),
         {:ok, given} <- Options.validate(@tables[method], own, "the options of #{name(method)}"),
         {:ok, params} <- params(given),
         {:ok, given} <- template(given) do
      named = [
        task: given[:task],
        pooling_params: params,
        tokenization_kwargs: tokenization(given),
        lora_request: given.lora_request,
        priority: given.priority,
        model: given.model,
        chat_template: given[:chat_template],
        chat_template_kwargs: given[:chat_template_kwargs],
        max_tokens_per_query: nonzero(given[:max_tokens_per_query]),
        max_tokens_per_doc: nonzero(given[:max_tokens_per_doc])
      ]

      rpc = rpc |> Keyword.values() |> unlimited()
      {:ok, for({key, value} <- named, value != nil, do: {key, value}) ++ [rpc: rpc]}
    end
  end

  defp name(:encode_batch), do: "encode"
  defp name(method), do: "#{method}"

  defp nonzero(0), do: nil
  defp nonzero(other), do: other

  ## Pooling parameters

  defp params(%{pooling_params: nil} = given) do
    short = for {key, value} <- short(given), value != nil, into: %{}, do: {key, value}
    {:ok, if(short == %{}, do: nil, else: short)}
  end

  defp params(%{pooling_params: params} = given) do
    case for {key, value} <- short(given), value != nil, do: key do
      [] ->
        params_map(params)

      [key | _] ->
        invalid("give #{key} or pooling_params, not both: it is a field of them", key)
    end
  end

  defp short(given), do: Map.take(given, [:use_activation, :dimensions])

  # A list of parameters has one for each input; a keyword list is one for all.
  defp params_map(params) do
    cond do
      params != [] and Keyword.keyword?(params) -> {:ok, Map.new(params)}
      is_list(params) and not List.improper?(params) -> each_params(params)
      true -> one_params(params)
    end
  end

  defp each_params(list) do
    Enum.reduce_while(list, {:ok, []}, fn params, {:ok, done} ->
      case one_params(params) do
        {:ok, params} -> {:cont, {:ok, [params | done]}}
        error -> {:halt, error}
      end
    end)
    |> case do
      {:ok, done} -> {:ok, Enum.reverse(done)}
      error -> error
    end
  end

  defp one_params(nil), do: {:ok, nil}
  defp one_params(%PoolingParams{} = params), do: {:ok, params}
  defp one_params(%{__struct__: _other} = other), do: wrong_params(other)
  defp one_params(%{} = params), do: {:ok, params}

  defp one_params(params) do
    if Keyword.keyword?(params), do: {:ok, Map.new(params)}, else: wrong_params(params)
  end

  defp wrong_params(other) do
    invalid(
      "pooling_params: wants a Vllm.PoolingParams, a map or a keyword list, or a list of them, " <>
        "got: #{inspect(other, limit: 5, printable_limit: 50)}",
      :pooling_params
    )
  end

  ## The rest

  defp tokenization(%{tokenization_kwargs: kwargs, truncate_prompt_tokens: truncate}) do
    kwargs = Map.new(kwargs)

    kwargs = if truncate, do: Map.put_new(kwargs, :truncate_prompt_tokens, truncate), else: kwargs

    if kwargs == %{}, do: nil, else: kwargs
  end

  defp template(%{instruction: text, chat_template_kwargs: kwargs} = given) when text != nil do
    if is_map_key(kwargs || %{}, :instruction) or is_map_key(kwargs || %{}, "instruction"),
      do: invalid("give instruction or chat_template_kwargs.instruction, not both", :instruction),
      else: {:ok, %{given | chat_template_kwargs: Map.put(kwargs || %{}, :instruction, text)}}
  end

  defp template(given), do: {:ok, given}

  # As `encode`, a batch has no limit of time unless it gets one.
  defp unlimited(given), do: given |> List.first([]) |> Options.with_deadline(:infinity)

  defp not_keyword(method),
    do: {:error, Error.new(:invalid, "the options of #{name(method)} are a keyword list")}

  defp invalid(message, key),
    do: {:error, Error.new(:invalid, message, details: %{"parameter" => "#{key}"})}
end
