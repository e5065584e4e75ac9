defmodule Vllm.TinyModel do
  @moduledoc """
  Makes tiny Llama models on the spot, to try the bridge or test an application on real vLLM.

  Nothing is downloaded, and a CPU runs them: two layers, a tokenizer that knows every byte. They
  are made once, in under a second, by `python -m python_worker.testing.models.tiny_model`.

  | kind | what it is |
  | --- | --- |
  | `:scripted` | answers greedily with known words: a prompt that ends in `Hello` is continued with ` from a scripted Llama, token by token` |
  | `:random` | random weights: generates bytes, and embeds with `runner: "pooling"` |
  | `:classify` | random weights with three classes, or as many as `labels:` says |

      {:ok, model} = Vllm.TinyModel.make(:scripted)
      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(model: model, dtype: "float32")

  Use `dtype: "float32"`: the scripted model's words are exact only there.

  `adapter/2` makes LoRA adapters of the scripted model, each of which says one word for ever:

      {:ok, path} = Vllm.TinyModel.adapter(:meow)
      lora = %Vllm.LoRARequest{lora_name: "meow", lora_int_id: 1, lora_path: path}
      Vllm.AsyncLLM.generate(engine, "Hello", [temperature: 0.0], "r", lora_request: lora)

  with an engine built with `enable_lora: true`.
  """

  alias Vllm.{Environment, Error}

  @kinds [:scripted, :random, :classify]

  @type kind :: :scripted | :random | :classify

  @typedoc """
  What `make/2` takes beside the kind.

    * `:folder` - where to make it; the default is below `Vllm.Environment.cache_dir/0`
    * `:labels` - how many classes a `:classify` has; the default is 3
    * `:seed` - of random weights; the default is 0
  """
  @type option :: {:folder, Path.t()} | {:labels, pos_integer()} | {:seed, non_neg_integer()}

  @doc "Makes a model unless it is there, and returns its folder. A path is short for `folder:`."
  @spec make(kind(), Path.t() | [option()] | nil) :: {:ok, Path.t()} | {:error, Error.t()}
  def make(kind, options \\ [])

  def make(kind, nil), do: make(kind, [])
  def make(kind, folder) when is_binary(folder), do: make(kind, folder: folder)

  def make(kind, options) when kind in @kinds do
    {folder, options} = Keyword.pop(options, :folder)
    # A folder for each choice of options: making another model in one replaces what is there.
    folder =
      folder || default(Enum.join([kind | for({name, it} <- options, do: "#{name}#{it}")], "-"))

    flags = for {name, it} <- [{:kind, kind} | options], flag <- ["--#{name}", "#{it}"], do: flag

    with {:ok, _said} <- python("tiny_model", [folder | flags]), do: {:ok, folder}
  end

  @doc """
  Makes a LoRA adapter of the scripted model unless it is there, and returns its folder.

  The name is the word to say: `:meow`, `:woof`, or any other that the model's script leads to,
  such as `:one`. A name with `broken-` before it makes one that does not load; see
  `python -m python_worker.testing.models.adapters --help`.
  """
  @spec adapter(atom() | String.t(), Path.t() | nil) :: {:ok, Path.t()} | {:error, Error.t()}
  def adapter(name, folder \\ nil) do
    with {:ok, [path]} <- adapters([name], folder), do: {:ok, path}
  end

  @doc "Makes several adapters, each in a folder of its name below `folder`, and returns these."
  @spec adapters([atom() | String.t(), ...], Path.t() | nil) ::
          {:ok, [Path.t()]} | {:error, Error.t()}
  def adapters(names, folder \\ nil) do
    folder = folder || default("adapters")
    names = Enum.map(names, &to_string/1)

    with {:ok, _said} <- python("adapters", [folder | names]),
         do: {:ok, Enum.map(names, &Path.join(folder, &1))}
  end

  defp default(name), do: Path.join([Environment.cache_dir(), "models", name])

  defp python(module, arguments) do
    with {:ok, python} <- Environment.python(),
         {:ok, worker_dir} <- Environment.worker_dir() do
      arguments = ["-m", "python_worker.testing.models.#{module}" | arguments]

      case System.cmd(python, arguments, cd: worker_dir, stderr_to_stdout: true) do
        {said, 0} -> {:ok, said}
        {said, _status} -> {:error, Error.new(:python, "it was not made: #{said}")}
      end
    end
  end
end
