# What a benchmark was run on: versions, processor, commit, date; and JSON, which Elixir 1.14 lacks.

defmodule Bench.Record do
  @versions """
  import platform
  from importlib.metadata import version
  from python_worker.process.versions import vllm_version
  print(vllm_version(), platform.python_version(), version("torch"), version("grpcio"))
  """

  @doc "Everything that a figure depends on and that is not in the script."
  def make do
    [vllm, python, torch, grpcio] = python_versions()

    %{
      vllm: vllm,
      torch: torch,
      grpcio: grpcio,
      python: python,
      elixir: System.version(),
      otp: System.otp_release(),
      cores: System.schedulers_online(),
      processor: processor(),
      commit: commit(),
      date: DateTime.utc_now() |> DateTime.truncate(:second) |> DateTime.to_iso8601(),
      # What else the machine has to do is in it, and so is the benchmark itself.
      load: load()
    }
  end

  @doc "The same in one line."
  def line do
    it = make()

    "vLLM #{it.vllm}, torch #{it.torch}, grpcio #{it.grpcio}, Python #{it.python}, Elixir #{it.elixir}, OTP #{it.otp}; " <>
      "#{it.cores} cores of #{it.processor}; commit #{it.commit}; #{it.date}; load #{it.load}"
  end

  defp python_versions do
    with {:ok, python} <- Vllm.Environment.python(),
         {text, 0} <- System.cmd(python, ["-c", @versions], stderr_to_stdout: true),
         [_, _, _, _] = versions <- text |> String.split() |> Enum.take(-4) do
      versions
    else
      _none -> List.duplicate("unknown", 4)
    end
  end

  defp processor do
    with {:ok, text} <- File.read("/proc/cpuinfo"),
         [_, name] <- Regex.run(~r/model name\s*: (.*)/, text) do
      name
    else
      _unknown -> to_string(:erlang.system_info(:system_architecture))
    end
  end

  defp commit do
    with {commit, 0} <- git(["rev-parse", "--short", "HEAD"]),
         {changes, 0} <- git(["status", "--porcelain", "--untracked-files=no"]) do
      String.trim(commit) <> if changes == "", do: "", else: " with changes"
    else
      _no_repository -> "unknown"
    end
  end

  defp git(arguments) do
    System.cmd("git", arguments, stderr_to_stdout: true)
  rescue
    # There is no git.
    ErlangError -> :error
  end

  defp load do
    case File.read("/proc/loadavg") do
      {:ok, text} -> text |> String.split() |> hd() |> String.to_float()
      {:error, _} -> nil
    end
  end

  ## JSON

  @doc "Maps, lists, texts, numbers, atoms and nil as JSON."
  def json(%Bench.Figure{} = it), do: json(%{value: Bench.Figure.value(it), rounds: it.rounds})

  def json(it) when is_map(it),
    do:
      "{" <>
        Enum.map_join(it, ", ", fn {key, value} -> json("#{key}") <> ": " <> json(value) end) <>
        "}"

  def json(it) when is_list(it), do: "[" <> Enum.map_join(it, ", ", &json/1) <> "]"
  def json(nil), do: "null"
  def json(it) when is_boolean(it) or is_number(it), do: to_string(it)
  def json(it) when is_atom(it), do: json(to_string(it))

  def json(it) when is_binary(it) do
    escaped =
      for <<char::utf8 <- it>>, into: "" do
        if char in [?", ?\\] or char < 0x20,
          do: "\\u" <> String.pad_leading(Integer.to_string(char, 16), 4, "0"),
          else: <<char::utf8>>
      end

    ~s("#{escaped}")
  end
end
