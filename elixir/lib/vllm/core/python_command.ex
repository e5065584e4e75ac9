defmodule Vllm.Core.PythonCommand do
  @moduledoc false
  # Runs a module of the package python_worker to its end, in the Python environment of instances.

  alias Vllm.{Environment, Error}

  defmodule Lines do
    @moduledoc false
    # Collects what a command prints and calls a function with each line when it is complete.

    @enforce_keys [:on_line]
    defstruct [:on_line]

    defimpl Collectable do
      def into(%{on_line: on_line}) do
        {{"", []},
         fn
           {rest, lines}, {:cont, chunk} ->
             {complete, [rest]} = (rest <> chunk) |> String.split("\n") |> Enum.split(-1)
             Enum.each(complete, on_line)
             {rest, Enum.reverse(complete, lines)}

           {"", lines}, :done ->
             Enum.reverse(lines)

           {rest, lines}, :done ->
             on_line.(rest)
             Enum.reverse([rest | lines])

           _collected, :halt ->
             :ok
         end}
      end
    end
  end

  @doc """
  Runs `python -m module` and returns its lines, of stdout and stderr, and its exit status.

    * `:python` - the interpreter, like the option of an instance
    * `:on_line` - a function that gets each line when it comes
  """
  @spec run(String.t(), [String.t()], keyword()) ::
          {:ok, [String.t()], non_neg_integer()} | {:error, Error.t()}
  def run(module, arguments, options \\ []) do
    with {:ok, python} <- Environment.python(options[:python]),
         {:ok, worker_dir} <- Environment.worker_dir() do
      {lines, status} =
        System.cmd(python, ["-m", module | arguments],
          cd: worker_dir,
          env: [{"PYTHONUTF8", "1"}],
          stderr_to_stdout: true,
          into: %Lines{on_line: Keyword.get(options, :on_line, fn _line -> :ok end)}
        )

      {:ok, lines, status}
    end
  end
end
