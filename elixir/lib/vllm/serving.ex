defmodule Vllm.Serving do
  @moduledoc """
  Texts in, outputs out, in the form of `Nx.Serving` and with the outputs of Bumblebee's servings.

      serving = Vllm.Serving.new({MyApp.Vllm, :llama}, max_tokens: 20)

      {:ok, %{results: [%{text: text}]}} = Vllm.Serving.run(serving, "The capital of France is")
      {:ok, [first, second]} = Vllm.Serving.run(serving, ["One, two,", "Monday, Tuesday,"])

  Code that reads the outputs of `Bumblebee.Text.generation/4` or of `Bumblebee.Text.text_embedding/3`
  can read these. It differs from `Nx.Serving` in two points: `run/2` returns `{:ok, outputs}` or an
  error, and there is no process and no `batch_size`, because the engine batches the requests of all
  callers. Neither Nx nor Bumblebee is needed.

  ## Options

    * `:task` - `:generate` (the default) or `:embed`
    * `:concurrency` - how many requests of one batch are in the engine at most, for `:generate`.
      Defaults to 256.
    * `:rpc` - the options of the bridge, see `Vllm.Call`

  All others are fields of `Vllm.SamplingParams`, or options of `Vllm.embed/3`.
  """

  alias Vllm.{AsyncLLM, Error, Pooling, Ref, RequestOutput, Stream, Tensor}
  alias Vllm.Core.Integrations.EngineName
  alias Vllm.Core.Options

  @enforce_keys [:engine]
  defstruct [:engine, options: []]

  @typedoc "A reference, or the instance and the name of a declared engine, which is looked up in each run."
  @type engine :: Ref.t() | {Vllm.instance(), atom()}

  @type t :: %__MODULE__{engine: engine(), options: keyword()}

  @typedoc "The output for one text, of `:generate` or of `:embed`."
  @type output ::
          %{results: [%{text: String.t(), token_summary: map()}]} | %{embedding: Tensor.t()}

  @own [
    {:task, {:in, [:generate, :embed]}, :generate, "what to compute."},
    {:concurrency, :pos_integer, 256,
     "how many requests of one batch are in the engine at most."},
    {:rpc, :term, [], "the options of the bridge."}
  ]

  @doc "Describes a serving. Nothing is started, and the options are checked by `run/2`."
  @spec new(engine(), keyword()) :: t()
  def new(engine, options \\ []), do: %__MODULE__{engine: engine, options: options}

  @doc """
  Computes the output for a text, or a list of outputs for a list of texts, in their order.

  With the task `:generate` an output is

      %{results: [%{text: " Paris.", token_summary: %{input: 5, output: 2, padding: 0}}]}

  with a result for each of the `n` completions; with `:embed` it is `%{embedding: %Vllm.Tensor{}}`.

  When one text of a list fails, all fail, and the requests that are left are aborted. The message then
  begins with the text's place, such as `inputs[3]:`, and `details["input"]` is its number.

  ## Errors

    * `:invalid` - the serving, an option or an input is wrong
    * those of `Vllm.engine/3`, and of `Vllm.AsyncLLM.generate/5` or `Vllm.embed/3`
  """
  @spec run(t(), String.t() | [String.t()]) ::
          {:ok, output() | [output()]} | {:error, Error.t()}
  def run(%__MODULE__{engine: engine, options: options}, input) do
    with :ok <- Options.check(:keyword_list, options, "the options of a serving"),
         {own, parameters} = Keyword.split(options, Keyword.keys(defaults())),
         {:ok, own} <- Options.validate(@own, own, "the options of a serving"),
         {:ok, texts} <- texts(input),
         {:ok, engine} <- EngineName.fetch(engine),
         {:ok, outputs} <- batch(own.task, engine, texts, parameters, own) do
      {:ok, if(is_list(input), do: outputs, else: hd(outputs))}
    else
      {:error, error} -> {:error, unnumbered(error, input)}
    end
  end

  def run(other, _input) do
    {:error, Error.new(:invalid, "wants a Vllm.Serving, got: #{inspect(other, limit: 5)}")}
  end

  defp defaults, do: for({key, _type, default, _doc} <- @own, do: {key, default})

  defp texts(text) when is_binary(text), do: {:ok, [text]}

  defp texts(texts) when length(texts) >= 0 do
    case Enum.find_index(texts, &(not is_binary(&1))) do
      nil -> {:ok, texts}
      index -> {:error, wrong_input(Enum.at(texts, index), index)}
    end
  end

  defp texts(other), do: {:error, wrong_input(other, 0)}

  defp wrong_input(value, index) do
    Error.new(:invalid, "wants a text, got: #{inspect(value, limit: 5)}", [])
    |> numbered(index)
  end

  defp batch(_task, _engine, [], _parameters, _own), do: {:ok, []}

  defp batch(:embed, engine, texts, options, own) do
    with {:ok, batch} <- Pooling.embed(engine, texts, [rpc: own.rpc] ++ options),
         do: {:ok, for(row <- Tensor.rows(batch.embeddings), do: %{embedding: row})}
  end

  defp batch(:generate, engine, texts, parameters, own) do
    parameters = Keyword.put(parameters, :output_kind, :FINAL_ONLY)
    id = "serving-" <> Base.encode16(:crypto.strong_rand_bytes(8), case: :lower)

    start = fn {text, index} ->
      AsyncLLM.generate(engine, text, parameters, "#{id}-#{index}", rpc: own.rpc)
    end

    {first, later} = texts |> Enum.with_index() |> Enum.split(own.concurrency)
    in_flight(first, later, :queue.new(), start, [])
  end

  # The streams that have been started wait in a queue. Each that is read makes place for one more.
  # All are this process's, so its end aborts them.
  defp in_flight([{_text, index} = input | inputs], later, queue, start, done) do
    case start.(input) do
      {:ok, stream} -> in_flight(inputs, later, :queue.in({stream, index}, queue), start, done)
      {:error, error} -> stopped(queue, error, index)
    end
  end

  defp in_flight([], later, queue, start, done) do
    case :queue.out(queue) do
      {:empty, _queue} ->
        {:ok, Enum.reverse(done)}

      {{:value, {stream, index}}, queue} ->
        case Stream.collect(stream) do
          {:ok, output} ->
            {next, later} = Enum.split(later, 1)
            in_flight(next, later, queue, start, [result(output) | done])

          {:error, error} ->
            stopped(queue, error, index)
        end
    end
  end

  defp stopped(queue, error, index) do
    for {stream, _index} <- :queue.to_list(queue), do: Stream.cancel(stream)
    {:error, numbered(error, index)}
  end

  defp result(%RequestOutput{} = output) do
    input = length(output.prompt_token_ids || [])

    results =
      for completion <- output.outputs do
        summary = %{input: input, output: length(completion.token_ids), padding: 0}
        %{text: completion.text, token_summary: summary}
      end

    %{results: results}
  end

  defp numbered(error, index) do
    %{
      error
      | message: "inputs[#{index}]: #{error.message}",
        details: Map.put(error.details, "input", index)
    }
  end

  # A single text has no number.
  defp unnumbered(%{details: %{"input" => 0}} = error, input) when not is_list(input) do
    message = String.replace_prefix(error.message, "inputs[0]: ", "")
    %{error | message: message, details: Map.delete(error.details, "input")}
  end

  defp unnumbered(error, _input), do: error
end
