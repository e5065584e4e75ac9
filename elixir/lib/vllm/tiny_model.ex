defmodule Vllm.TinyModel do
  @moduledoc """
  Makes tiny Llama models, to try the bridge or to test an application with real vLLM.

  Their words are known in advance, which suits tests. For a model that answers in words of its own there is
  `Vllm.SmallModel`.

  Nothing is downloaded. The models have two layers and a byte tokenizer, and run on a CPU. They
  are made once, in under a second, by `python -m python_worker.testing.models.tiny_model`.

  | kind | what it does |
  | --- | --- |
  | `:scripted` | continues a prompt with known words under greedy sampling: one that ends in `Hello` with ` from a scripted Llama, token by token` |
  | `:random` | has random weights: generates random bytes, and embeds with `runner: "pooling"` |
  | `:classify` | has random weights and three classes, or as many as `labels:` says |

      {:ok, model} = Vllm.TinyModel.make(:scripted)
      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(model: model, dtype: "float32")

  Use `dtype: "float32"`. With other types the scripted model may leave its script.

  `adapter/2` makes LoRA adapters for the scripted model. With one of them it repeats a single word:

      {:ok, path} = Vllm.TinyModel.adapter(:meow)
      lora = %Vllm.LoRARequest{lora_name: "meow", lora_int_id: 1, lora_path: path}
      Vllm.AsyncLLM.generate(engine, "Hello", [temperature: 0.0], "r", lora_request: lora)

  The engine must have been built with `enable_lora: true`.
  """

  alias Vllm.Core.PythonCommand
  alias Vllm.{Environment, Error}
  alias Vllm.Core.Options

  @kinds [:scripted, :random, :classify]

  @options [
    {:folder, :string, nil, "the folder to make it in."},
    {:labels, {:range, 1, 10_000}, 3, "the number of classes."},
    {:seed, {:range, 0, 0xFFFF_FFFF}, 0, "the seed of random weights."}
  ]

  @typedoc "Which model: one that says what it is told to, one with random weights, or a classifier."
  @type kind :: :scripted | :random | :classify

  @typedoc """
  Options of `make/2`.

    * `:folder` - the folder to make it in; the default is below `Vllm.Environment.cache_dir/0`
    * `:labels` - the number of classes of a `:classify` model; the default is 3
    * `:seed` - the seed of random weights; the default is 0
  """
  @type option :: {:folder, Path.t()} | {:labels, pos_integer()} | {:seed, non_neg_integer()}

  @doc "Makes a model unless it exists, and returns its folder. A path is short for `folder:`."
  @spec make(kind(), Path.t() | [option()] | nil) :: {:ok, Path.t()} | {:error, Error.t()}
  def make(kind, options \\ [])

  def make(kind, nil), do: make(kind, [])
  def make(kind, folder) when is_binary(folder), do: make(kind, folder: folder)

  def make(kind, options) do
    with :ok <- Options.check({:in, @kinds}, kind, "the kind of a model"),
         {:ok, _options} <- Options.validate(@options, options, "the options of a model"),
         do: make_checked(kind, options)
  end

  defp make_checked(kind, options) do
    {folder, options} = Keyword.pop(options, :folder)

    # A folder for each set of options, because making another model in a folder replaces the first.
    folder =
      folder || default(Enum.join([kind | for({name, it} <- options, do: "#{name}#{it}")], "-"))

    flags = for {name, it} <- [{:kind, kind} | options], flag <- ["--#{name}", "#{it}"], do: flag

    with :ok <- python("tiny_model", [folder | flags]), do: {:ok, folder}
  end

  @doc """
  Makes a LoRA adapter for the scripted model unless it exists, and returns its folder.

  The name is the word that the model repeats: `:meow`, `:woof`, or another word of the model's script,
  such as `:one`. A name that starts with `broken-` makes an adapter that cannot be loaded; see
  `python -m python_worker.testing.models.adapters --help`.
  """
  @spec adapter(atom() | String.t(), Path.t() | nil) :: {:ok, Path.t()} | {:error, Error.t()}
  def adapter(name, folder \\ nil) do
    with {:ok, [path]} <- adapters([name], folder), do: {:ok, path}
  end

  @doc "Makes several adapters, each in a folder of its name in `folder`, and returns these folders."
  @spec adapters([atom() | String.t(), ...], Path.t() | nil) ::
          {:ok, [Path.t()]} | {:error, Error.t()}
  def adapters(names, folder \\ nil) do
    folder = if folder == nil, do: default("adapters"), else: folder

    with :ok <- Options.check({:list, {:or, [:string, :atom]}}, names, "the names of adapters"),
         :ok <- Options.check(:string, folder, "the folder of adapters"),
         names = Enum.map(names, &to_string/1),
         :ok <- python("adapters", [folder | names]),
         do: {:ok, Enum.map(names, &Path.join(folder, &1))}
  end

  defp default(name), do: Path.join([Environment.cache_dir(), "models", name])

  defp python(module, arguments) do
    case PythonCommand.run("python_worker.testing.models.#{module}", arguments) do
      {:ok, _lines, 0} ->
        :ok

      {:ok, lines, _status} ->
        output = Enum.join(lines, "\n")
        {:error, Error.new(:python, "the model or adapter could not be made: #{output}")}

      {:error, error} ->
        {:error, error}
    end
  end
end
